import { CircleDot, ClipboardX, Eye, Keyboard } from 'lucide-react'
import type { ReactNode } from 'react'
import { ago } from '../app/format.ts'
import { Button } from '../ui/Button.tsx'
import { common } from './messages.ts'
import type { Followed } from './shown.ts'
import type { Terms } from './wire.ts'

export function Mark({ icon, text, why }: { icon: ReactNode; text: string; why?: string }) {
  return (
    <span className="flex items-center gap-1.5" title={why}>
      {icon}
      {text}
    </span>
  )
}

const clipboardText = ({ copy, paste }: Terms) => (copy ? common.noPaste : paste ? common.noCopy : common.noCopyPaste)

type Props = {
  session: Followed
  /** How what ran in it ended. */
  how?: string
  /** More marks of what holds. */
  children?: ReactNode
  onAgain?: () => void
  onClose?: () => void
}

/** What holds for this session, and what has become of it. */
export function StatusBar({ session, how, children, onAgain, onClose }: Props) {
  const { link, ready } = session.use()
  if (link.is === 'ended') {
    return (
      <footer
        role="status"
        className="flex shrink-0 items-center gap-3 border-t border-line bg-surface px-4 py-2 text-sm"
      >
        <p className="min-w-0 flex-1">
          {common[link.reason] ?? link.reason} {how}
        </p>
        {onAgain && (
          <Button size="sm" variant="primary" onPress={onAgain}>
            {common.again}
          </Button>
        )}
        {onClose && (
          <Button size="sm" onPress={onClose}>
            {common.closeOne}
          </Button>
        )}
      </footer>
    )
  }
  if (!ready) return null
  return (
    <footer className="flex h-7 shrink-0 items-center gap-4 overflow-hidden border-t border-line bg-surface px-4 text-2xs whitespace-nowrap text-ink-2">
      {ready.mode === 'readOnly' && <Mark icon={<Eye size={12} aria-hidden />} text={common.readOnly} />}
      {ready.mode === 'interactive' && <Mark icon={<Keyboard size={12} aria-hidden />} text={common.interactive} />}
      {ready.recorded !== 'off' && (
        <Mark
          icon={<CircleDot size={12} className="text-crit" aria-hidden />}
          text={common.recorded}
          why={ready.recorded === 'full' ? common.recordedFull : common.recordedMetadata}
        />
      )}
      {!(ready.copy && ready.paste) && (
        <Mark icon={<ClipboardX size={12} aria-hidden />} text={clipboardText(ready)} why={common.byPolicy} />
      )}
      {children}
      <span className="ml-auto">{common.until(ago(ready.until))}</span>
    </footer>
  )
}
