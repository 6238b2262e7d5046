import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { types } from '../../api/keys.ts'
import { deleteResource } from '../../api/queries/fleet.ts'
import { toast } from '../../app/toast.ts'
import { Button } from '../../ui/Button.tsx'
import { Dialog } from '../../ui/Dialog.tsx'
import { ErrorNote } from '../../ui/ErrorNote.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'

export function RetireDialog({ id, name, onClose }: { id: string; name: string; onClose: () => void }) {
  const client = useQueryClient()
  const navigate = useNavigate()
  const [typed, setTyped] = useState('')
  const retire = useMutation({
    mutationFn: () => deleteResource(id),
    onSuccess: async () => {
      toast(m.retired(name))
      await navigate({ to: '/machines' })
      void client.invalidateQueries({ queryKey: [types.machineRow] })
    },
  })
  return (
    <Dialog
      role="alertdialog"
      title={m.retireTitle(name)}
      onClose={onClose}
      footer={
        <>
          <Button onPress={onClose}>{m.cancel}</Button>
          <Button
            variant="danger"
            isDisabled={typed !== name}
            isPending={retire.isPending}
            onPress={() => retire.mutate()}
          >
            {m.retire}
          </Button>
        </>
      }
    >
      <div className="flex flex-col gap-4">
        <p className="text-sm">{m.retireWhy}</p>
        <TextField label={m.typeName(name)} value={typed} onChange={setTyped} autoFocus autoComplete="off" mono />
        {retire.error && <ErrorNote error={retire.error} />}
      </div>
    </Dialog>
  )
}
