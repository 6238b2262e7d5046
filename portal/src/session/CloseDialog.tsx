import { useEffect, useState } from 'react'
import { Button } from '../ui/Button.tsx'
import { Dialog } from '../ui/Dialog.tsx'
import { Refusal } from './Refusal.tsx'
import { common } from './messages.ts'
import type { Followed } from './shown.ts'

type Props = { session: Followed; name: string; isWatching: boolean; onClose: () => void }

export function CloseDialog({ session, name, isWatching, onClose }: Props) {
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
      title={common.closeTitle(name)}
      subtitle={isWatching ? undefined : common.closeWhy}
      onClose={onClose}
      footer={
        <>
          <Button onPress={onClose}>{common.cancel}</Button>
          <Button variant="danger" isPending={isPending} onPress={() => void end()}>
            {isWatching ? common.leave : common.endLong}
          </Button>
        </>
      }
    >
      {error !== undefined && <Refusal error={error} />}
    </Dialog>
  )
}
