import { Eye, Keyboard, MessageSquare, PlugZap, Timer } from 'lucide-react'
import { type ReactNode, useEffect, useState } from 'react'
import { plainText } from '../domain/plainText.ts'
import { Button } from '../ui/Button.tsx'
import { cx } from '../ui/cx.ts'
import { common } from './messages.ts'
import type { Followed } from './shown.ts'

/** Rises once a second while somebody counts. */
function useNowMs() {
  const [nowMs, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1_000)
    return () => clearInterval(timer)
  }, [])
  return nowMs
}

const tones = { info: 'bg-info-soft', med: 'bg-med-soft', crit: 'bg-crit-soft' }

type BannerProps = {
  tone: keyof typeof tones
  icon: ReactNode
  children: ReactNode
  action?: ReactNode
  isAlert?: boolean
}

/** Something to know, over what a session shows. */
export function Banner({ tone, icon, children, action, isAlert = false }: BannerProps) {
  return (
    <div
      role={isAlert ? 'alert' : 'status'}
      className={cx('flex items-center gap-2.5 border-b border-line px-4 py-1.5 text-sm', tones[tone])}
    >
      <span className="shrink-0 text-ink-2">{icon}</span>
      <div className="min-w-0 flex-1">{children}</div>
      {action}
    </div>
  )
}

function Countdown({ endMs, text }: { endMs: number; text: (sec: number) => string }) {
  const nowMs = useNowMs()
  // Read out once, not every second.
  return <span aria-live="off">{text(Math.max(0, Math.ceil((endMs - nowMs) / 1_000)))}</span>
}

export function Banners({ session }: { session: Followed }) {
  const { link, ready, watchers, notes, warning, denied } = session.use()
  const names = (mode: 'readOnly' | 'interactive') =>
    watchers
      .filter((person) => person.mode === mode)
      .map(({ name }) => plainText(name))
      .join(', ')
  const watching = names('readOnly')
  const typing = names('interactive')
  return (
    <div>
      {link.is === 'dropped' && (
        <Banner
          tone="crit"
          isAlert
          icon={<PlugZap size={15} aria-hidden />}
          action={
            <Button size="sm" onPress={session.connect}>
              {common.retryNow}
            </Button>
          }
        >
          <strong className="font-medium">{common.dropped}</strong> {common.droppedWhy}{' '}
          <Countdown endMs={link.retryAtMs} text={common.retryIn} />
        </Banner>
      )}
      {link.is === 'connecting' && (
        <Banner tone="info" icon={<PlugZap size={15} aria-hidden />}>
          {ready ? common.reconnecting : common.connecting}
        </Banner>
      )}
      {typing && (
        <Banner tone="med" icon={<Keyboard size={15} aria-hidden />}>
          {common.joined(typing)}
        </Banner>
      )}
      {watching && (
        <Banner tone="info" icon={<Eye size={15} aria-hidden />}>
          {common.watching(watching)}
        </Banner>
      )}
      {warning && (
        <Banner tone="med" isAlert icon={<Timer size={15} aria-hidden />}>
          <Countdown endMs={warning.endsAtMs} text={warning.reason === 'Idle' ? common.idleIn : common.overIn} />
        </Banner>
      )}
      {notes.map((note) => (
        <Banner
          key={note.id}
          tone="info"
          isAlert
          icon={<MessageSquare size={15} aria-hidden />}
          action={
            <Button size="sm" onPress={() => session.read(note)}>
              {common.read}
            </Button>
          }
        >
          <strong className="font-medium">{common.message(plainText(note.from))}</strong>{' '}
          <span className="break-words whitespace-pre-wrap">{note.text.split('\n').map(plainText).join('\n')}</span>
        </Banner>
      ))}
      {denied && (
        <Banner tone="med" icon={<Keyboard size={15} aria-hidden />}>
          {denied === 'copy' ? common.copyDenied : common.pasteDenied}
        </Banner>
      )}
    </div>
  )
}
