import { ClipboardPaste, Keyboard, Languages, Maximize } from 'lucide-react'
import { getLocale, setLocale } from '../../app/i18n.ts'
import { Button } from '../../ui/Button.tsx'
import { IconButton } from '../../ui/IconButton.tsx'
import { Segments } from '../../ui/Segments.tsx'
import { common } from '../messages.ts'
import { isWatching } from '../../domain/bastion.ts'
import { m } from './messages.ts'
import type { Scaling } from './pointer.ts'
import type { DesktopSession } from './session.ts'

type Props = {
  session: DesktopSession
  onFullScreen: () => void
  onClipboardDenied: () => void
  onEnd: () => void
}

export function Toolbar({ session, onFullScreen, onClipboardDenied, onEnd }: Props) {
  const { link, ready, scaling } = session.use()
  const isOpen = link.is === 'open' && ready !== undefined
  const mayType = isOpen && ready.mode !== 'readOnly'
  const scalings: Scaling[] = ready?.mode === 'own' ? ['match', 'fit', 'actual'] : ['fit', 'actual']
  const sendClipboard = async () => {
    try {
      session.paste(await navigator.clipboard.readText())
    } catch {
      onClipboardDenied()
    }
    session.desk.focus()
  }
  return (
    <div className="flex items-center gap-1">
      {ready && (
        <Segments
          hideLabel
          label={m.scaling}
          value={scaling}
          onChange={(chosen) => session.setScaling(chosen)}
          options={scalings.map((id) => ({ id, label: m[id] }))}
        />
      )}
      {mayType && (
        <>
          {ready.paste && ready.mode === 'own' && (
            <IconButton compact label={m.sendClipboard} onPress={() => void sendClipboard()}>
              <ClipboardPaste size={14} aria-hidden />
            </IconButton>
          )}
          <IconButton compact label={m.ctrlAltDel} onPress={() => session.ctrlAltDel()}>
            <Keyboard size={14} aria-hidden />
          </IconButton>
        </>
      )}
      {ready && (
        <IconButton compact label={m.fullScreen} onPress={onFullScreen}>
          <Maximize size={14} aria-hidden />
        </IconButton>
      )}
      <IconButton compact label={common.language} onPress={() => setLocale(getLocale() === 'ja' ? 'en' : 'ja')}>
        <Languages size={14} aria-hidden />
      </IconButton>
      {link.is === 'open' && (
        <Button size="sm" onPress={onEnd}>
          {isWatching(session.target) ? common.leave : common.end}
        </Button>
      )}
    </div>
  )
}
