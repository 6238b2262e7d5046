import { useState } from 'react'
import { keepRecording, type Recording, type RecordingDeed } from '../../api/queries/bastion.ts'
import { toast } from '../../app/toast.ts'
import { targetName } from '../../domain/bastion.ts'
import { SendDialog } from '../../parts/SendDialog.tsx'
import { useSendNow } from '../../parts/useSendNow.ts'
import { Button } from '../../ui/Button.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { s } from './messages.ts'

const words = {
  hold: { title: s.holdTitle, why: s.holdWhy, done: s.heldNow },
  release: { title: s.releaseTitle, why: s.releaseWhy, done: s.released },
  delete: { title: s.deleteTitle, why: s.deleteWhy, done: s.deleted },
}

type Props = { deed: RecordingDeed; recording: Recording; onClose: () => void }

/** Asks why a recording is held, released or removed: that stands in the activity log. */
export function RecordingDialog({ deed, recording, onClose }: Props) {
  const [reason, setReason] = useState('')
  const { title, why, done } = words[deed]
  const sending = useSendNow(
    (said: string) => keepRecording(recording, deed, said),
    () => {
      toast(done)
      onClose()
    },
  )
  return (
    <SendDialog
      title={title(targetName(recording))}
      sending={sending}
      onClose={onClose}
      actions={
        <Button
          variant={deed === 'delete' ? 'danger' : 'primary'}
          isPending={sending.isPending}
          isDisabled={reason.trim() === ''}
          onPress={() => sending.mutate(reason.trim())}
        >
          {s[deed]}
        </Button>
      }
    >
      <p className="text-sm">{why}</p>
      <TextField label={s.reason} value={reason} onChange={setReason} maxLength={500} autoFocus />
    </SendDialog>
  )
}
