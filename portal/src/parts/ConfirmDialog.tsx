import { useMutation } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { messages } from '../app/i18n.ts'
import { Button } from '../ui/Button.tsx'
import { Dialog } from '../ui/Dialog.tsx'
import { ErrorNote } from '../ui/ErrorNote.tsx'

const m = messages({ cancel: { en: 'Cancel', ja: 'キャンセル' } })

type Props = {
  title: string
  children?: ReactNode
  confirm: string
  act: () => Promise<unknown>
  onDone: () => void
  onClose: () => void
}

/** `confirm` names the effect. The dialog stays while the server refuses, and says why. */
export function ConfirmDialog({ title, children, confirm, act, onDone, onClose }: Props) {
  const action = useMutation({ mutationFn: act, onSuccess: onDone })
  return (
    <Dialog
      role="alertdialog"
      title={title}
      onClose={onClose}
      footer={
        <>
          <Button onPress={onClose}>{m.cancel}</Button>
          <Button variant="danger" isPending={action.isPending} onPress={() => action.mutate()}>
            {confirm}
          </Button>
        </>
      }
    >
      <div className="flex flex-col gap-3 text-sm">
        {children}
        {action.error && <ErrorNote error={action.error} />}
      </div>
    </Dialog>
  )
}
