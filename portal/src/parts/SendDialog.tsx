import type { ReactNode } from 'react'
import { messages } from '../app/i18n.ts'
import { Button } from '../ui/Button.tsx'
import { Dialog } from '../ui/Dialog.tsx'
import { ErrorNote } from '../ui/ErrorNote.tsx'

const m = messages({
  cancel: { en: 'Cancel', ja: 'キャンセル' },
})

type Props = {
  title: ReactNode
  /** What useSendNow gave. */
  sending: { isPending: boolean; error: Error | null }
  /** The buttons that send. */
  actions: ReactNode
  children: ReactNode
  onClose: () => void
}

/** A choice that is sent as it is made (see useSendNow): it stays open until the answer, and shows what went wrong. */
export function SendDialog({ title, sending, actions, children, onClose }: Props) {
  return (
    <Dialog
      title={title}
      onClose={sending.isPending ? undefined : onClose}
      footer={
        <>
          <Button onPress={onClose} isDisabled={sending.isPending}>
            {m.cancel}
          </Button>
          {actions}
        </>
      }
    >
      <div className="flex flex-col gap-4">
        {children}
        {sending.error && <ErrorNote error={sending.error} />}
      </div>
    </Dialog>
  )
}
