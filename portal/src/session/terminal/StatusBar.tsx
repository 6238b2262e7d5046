import { CircleDot, ClipboardX, Eye, Keyboard } from 'lucide-react'
import type { ReactNode } from 'react'
import { ago } from '../../app/format.ts'
import { plainText } from '../../domain/plainText.ts'
import { Button } from '../../ui/Button.tsx'
import { m } from './messages.ts'
import type { Ready } from './protocol.ts'
import type { TerminalSession } from './session.ts'
import { closeTab, reopen } from './tabs.ts'

function Mark({ icon, text, why }: { icon: ReactNode; text: string; why?: string }) {
  return (
    <span className="flex items-center gap-1.5" title={why}>
      {icon}
      {text}
    </span>
  )
}

const clipboardText = ({ copy, paste }: Ready) => (copy ? m.noPaste : paste ? m.noCopy : m.noCopyPaste)

/** What holds for this session, and what has become of it. */
export function StatusBar({ session }: { session: TerminalSession }) {
  const { link, ready, exit } = session.use()
  if (link.is === 'ended') {
    return (
      <footer
        role="status"
        className="flex shrink-0 items-center gap-3 border-t border-line bg-surface px-4 py-2 text-sm"
      >
        <p className="min-w-0 flex-1">
          {m[link.reason] ?? link.reason}{' '}
          {exit &&
            (exit.signal !== null
              ? m.exitSignal(plainText(exit.signal))
              : exit.status === 0
                ? m.exitOk
                : exit.status !== null && m.exitStatus(exit.status))}
        </p>
        <Button size="sm" variant="primary" onPress={() => reopen(session)}>
          {m.again}
        </Button>
        <Button size="sm" onPress={() => closeTab(session)}>
          {m.closeOne}
        </Button>
      </footer>
    )
  }
  if (!ready) return null
  return (
    <footer className="flex h-7 shrink-0 items-center gap-4 overflow-hidden border-t border-line bg-surface px-4 text-2xs whitespace-nowrap text-ink-2">
      {ready.mode === 'readOnly' && <Mark icon={<Eye size={12} aria-hidden />} text={m.readOnly} />}
      {ready.mode === 'interactive' && <Mark icon={<Keyboard size={12} aria-hidden />} text={m.interactive} />}
      {ready.recorded !== 'off' && (
        <Mark
          icon={<CircleDot size={12} className="text-crit" aria-hidden />}
          text={m.recorded}
          why={ready.recorded === 'full' ? m.recordedFull : m.recordedMetadata}
        />
      )}
      {!(ready.copy && ready.paste) && (
        <Mark icon={<ClipboardX size={12} aria-hidden />} text={clipboardText(ready)} why={m.byPolicy} />
      )}
      <span className="ml-auto">{m.until(ago(ready.until))}</span>
    </footer>
  )
}
