import { useEffect, useState } from 'react'
import { Button } from '../../ui/Button.tsx'
import { Dialog } from '../../ui/Dialog.tsx'
import { Refusal } from '../Refusal.tsx'
import { m } from './messages.ts'
import { nameOfSession } from './names.ts'
import { isWatching, type TerminalSession } from './session.ts'

export function CloseDialog({ session, onClose }: { session: TerminalSession; onClose: () => void }) {
  const [error, setError] = useState<unknown>()
  const [isPending, setPending] = useState(false)
  const { link } = session.use()
  useEffect(() => {
    if (link.is === 'ended') onClose()
  }, [link, onClose])
  const end = async () => {
    setPending(true)
    try {
      await session.end()
      onClose()
    } catch (why) {
      setError(why)
    }
    setPending(false)
  }
  return (
    <Dialog
      role="alertdialog"
      title={m.closeTitle(nameOfSession(session))}
      subtitle={isWatching(session.target) ? undefined : m.closeWhy}
      onClose={onClose}
      footer={
        <>
          <Button onPress={onClose}>{m.cancel}</Button>
          <Button variant="danger" isPending={isPending} onPress={() => void end()}>
            {isWatching(session.target) ? m.leave : m.endLong}
          </Button>
        </>
      }
    >
      {error !== undefined && <Refusal error={error} />}
    </Dialog>
  )
}
