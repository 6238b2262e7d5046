import { Plus, X } from 'lucide-react'
import { useEffect, useRef } from 'react'
import { plainText } from '../../domain/plainText.ts'
import { cx } from '../../ui/cx.ts'
import { IconButton } from '../../ui/IconButton.tsx'
import { m } from './messages.ts'
import { nameOfSession } from './names.ts'
import type { TerminalSession } from './session.ts'
import { onLeaveTerminal, openTab, ownTarget, selectTab } from './tabs.ts'

const dots = {
  connecting: 'bg-med',
  open: 'bg-ok',
  dropped: 'bg-crit',
  refused: 'bg-crit',
  ended: 'bg-line-strong',
}

type Props = {
  sessions: readonly TerminalSession[]
  current: TerminalSession
  onClose: (session: TerminalSession) => void
}

export function TabBar({ sessions, current, onClose }: Props) {
  const list = useRef<HTMLUListElement>(null)
  useEffect(() => {
    onLeaveTerminal(() => list.current?.querySelector<HTMLElement>('[aria-current]')?.focus())
  }, [])
  const again = ownTarget(current)
  return (
    <nav aria-label={m.terminals} className="flex min-w-0 flex-1 items-end gap-1 overflow-x-auto">
      <ul ref={list} className="flex items-end gap-1">
        {sessions.map((session) => (
          <Tab key={session.key} session={session} isCurrent={session === current} onClose={onClose} />
        ))}
      </ul>
      {again && (
        <IconButton compact label={m.another} onPress={() => openTab(again)}>
          <Plus size={16} aria-hidden />
        </IconButton>
      )}
    </nav>
  )
}

function Tab({
  session,
  isCurrent,
  onClose,
}: {
  session: TerminalSession
  isCurrent: boolean
  onClose: (session: TerminalSession) => void
}) {
  const { link, title } = session.use()
  const name = nameOfSession(session)
  return (
    <li
      className={cx(
        'flex h-8 items-center rounded-t-md border border-b-0 pr-1 text-xs',
        isCurrent ? 'border-line bg-surface font-medium' : 'border-transparent text-ink-2 hover:bg-surface/60',
      )}
    >
      <button
        type="button"
        aria-current={isCurrent ? 'true' : undefined}
        onClick={() => {
          selectTab(session.key)
          session.screen.focus()
        }}
        className="flex h-full items-center gap-2 px-2.5"
      >
        <span className={cx('size-1.5 rounded-full', dots[link.is])} aria-hidden />
        <span>{plainText(name)}</span>
        {title && <span className="max-w-40 truncate font-normal text-ink-3">{title}</span>}
      </button>
      <button
        type="button"
        aria-label={m.closeTab(name)}
        onClick={() => onClose(session)}
        className="grid size-5 place-items-center rounded text-ink-3 hover:bg-sunken hover:text-ink"
      >
        <X size={12} aria-hidden />
      </button>
    </li>
  )
}
