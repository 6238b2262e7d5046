import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { Form } from 'react-aria-components'
import { changePassword } from '../../api/queries/auth.ts'
import { toast } from '../../app/toast.ts'
import { Button } from '../../ui/Button.tsx'
import { Checkbox } from '../../ui/Checkbox.tsx'
import { Dialog } from '../../ui/Dialog.tsx'
import { ErrorNote } from '../../ui/ErrorNote.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'

/** The old password with a code, and the new one. */
export function PasswordDialog({ onClose }: { onClose: () => void }) {
  const client = useQueryClient()
  const [currentPassword, setCurrent] = useState('')
  const [code, setCode] = useState('')
  const [newPassword, setNew] = useState('')
  const [endOtherSessions, setEnd] = useState(true)
  const change = useMutation({
    mutationFn: () => changePassword({ currentPassword, code: code.trim(), newPassword, endOtherSessions }),
    onSuccess: () => {
      toast(m.changed)
      onClose()
    },
    onSettled: () => client.invalidateQueries(),
  })
  return (
    <Dialog title={m.changeTitle} onClose={change.isPending ? undefined : onClose}>
      <Form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          change.mutate()
        }}
      >
        <TextField
          label={m.currentPassword}
          type="password"
          autoComplete="current-password"
          value={currentPassword}
          onChange={setCurrent}
          isRequired
          autoFocus
        />
        <TextField
          label={m.code}
          inputMode="numeric"
          autoComplete="one-time-code"
          value={code}
          onChange={setCode}
          isRequired
        />
        <TextField
          label={m.newPassword}
          type="password"
          autoComplete="new-password"
          value={newPassword}
          onChange={setNew}
          isRequired
        />
        <Checkbox isSelected={endOtherSessions} onChange={setEnd}>
          {m.endOthers}
        </Checkbox>
        {change.error && <ErrorNote error={change.error} />}
        <div className="flex justify-end gap-2">
          <Button onPress={onClose} isDisabled={change.isPending}>
            {m.cancel}
          </Button>
          <Button type="submit" variant="primary" isPending={change.isPending}>
            {m.changePassword}
          </Button>
        </div>
      </Form>
    </Dialog>
  )
}
