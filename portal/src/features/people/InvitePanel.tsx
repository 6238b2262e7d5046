import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { Form } from 'react-aria-components'
import { types } from '../../api/keys.ts'
import { createUser, inviteUser } from '../../api/queries/directory.ts'
import type { User } from '../../api/types.ts'
import { ago } from '../../app/format.ts'
import { Button } from '../../ui/Button.tsx'
import { CodeBlock } from '../../ui/CodeBlock.tsx'
import { ErrorNote } from '../../ui/ErrorNote.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'

/** Adds a person (or takes one who exists) and makes the one-time link that lets them set up their own sign-in. */
export function InvitePanel({ user, onClose }: { user?: User; onClose: () => void }) {
  const client = useQueryClient()
  const [name, setName] = useState(user?.displayName ?? '')
  const [userName, setUserName] = useState(user?.userPrincipalName ?? '')
  // When the link fails after the person was made, a second try must not make the person again.
  const [made, setMade] = useState(user)
  const invite = useMutation({
    mutationFn: async () => {
      const person = made ?? (await createUser(name.trim(), userName.trim()))
      setMade(person)
      return inviteUser(person.id)
    },
    onSettled: () => client.invalidateQueries({ queryKey: [types.user] }),
  })
  if (invite.data) {
    return (
      <SidePanel
        title={m.linkTitle}
        subtitle={m.linkExpires(ago(invite.data.expiresAt))}
        onClose={onClose}
        footer={
          <Button variant="primary" onPress={onClose}>
            {m.close}
          </Button>
        }
      >
        <div className="flex flex-col gap-3">
          <p className="text-sm">{m.linkWhy(name)}</p>
          <CodeBlock label={m.linkTitle} copyLabel={m.copy} code={invite.data.link} />
        </div>
      </SidePanel>
    )
  }
  return (
    <SidePanel title={user ? m.invite : m.addPerson} onClose={onClose}>
      <Form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          invite.mutate()
        }}
      >
        <TextField
          label={m.name}
          value={name}
          onChange={setName}
          isRequired
          isReadOnly={made !== undefined}
          autoFocus
        />
        <TextField
          label={m.user}
          value={userName}
          onChange={setUserName}
          isRequired
          isReadOnly={made !== undefined}
          placeholder="tanaka@example.com"
        />
        {invite.error && <ErrorNote error={invite.error} />}
        <div className="flex justify-end gap-2">
          <Button onPress={onClose}>{m.cancel}</Button>
          <Button type="submit" variant="primary" isPending={invite.isPending}>
            {made ? m.invite : m.createInvite}
          </Button>
        </div>
      </Form>
    </SidePanel>
  )
}
