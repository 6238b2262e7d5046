import { useState } from 'react'
import { type BastionSession, messageBastionSession } from '../../api/queries/bastion.ts'
import { toast } from '../../app/toast.ts'
import { targetName } from '../../domain/bastion.ts'
import { SendDialog } from '../../parts/SendDialog.tsx'
import { useSendNow } from '../../parts/useSendNow.ts'
import { Button } from '../../ui/Button.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { s } from './messages.ts'

export function MessageDialog({ session, onClose }: { session: BastionSession; onClose: () => void }) {
  const [text, setText] = useState('')
  const sending = useSendNow(
    (what: string) => messageBastionSession(session, what),
    () => {
      toast(s.sent)
      onClose()
    },
  )
  return (
    <SendDialog
      title={s.messageTo(targetName(session))}
      sending={sending}
      onClose={onClose}
      actions={
        <Button
          variant="primary"
          isPending={sending.isPending}
          isDisabled={text.trim() === ''}
          onPress={() => sending.mutate(text.trim())}
        >
          {s.send}
        </Button>
      }
    >
      <TextField label={s.text} value={text} onChange={setText} rows={3} maxLength={500} autoFocus />
    </SendDialog>
  )
}
