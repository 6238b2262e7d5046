import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { Form } from 'react-aria-components'
import { openAccessPass } from '../../api/queries/auth.ts'
import { Button } from '../../ui/Button.tsx'
import { ErrorNote } from '../../ui/ErrorNote.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'

/** For who can sign in with nothing: an administrator's pass leads to registering something of one's own. */
export function AccessPassForm({ onOpened }: { onOpened: (token: string) => void }) {
  const [user, setUser] = useState('')
  const [pass, setPass] = useState('')
  const open = useMutation({
    mutationFn: () => openAccessPass(user.trim(), pass),
    onSuccess: ({ token }) => onOpened(token),
  })
  return (
    <Form
      className="flex flex-col gap-3"
      onSubmit={(event) => {
        event.preventDefault()
        open.mutate()
      }}
    >
      <p className="text-sm text-ink-2">{m.passWhy}</p>
      <TextField label={m.user} autoComplete="username" value={user} onChange={setUser} isRequired autoFocus />
      <TextField
        label={m.pass}
        autoComplete="off"
        placeholder="xxxx-xxxx-xxxx"
        value={pass}
        onChange={setPass}
        isRequired
        mono
      />
      <Button type="submit" variant="primary" size="lg" isPending={open.isPending}>
        {m.passOpen}
      </Button>
      {open.error && <ErrorNote error={open.error} />}
    </Form>
  )
}
