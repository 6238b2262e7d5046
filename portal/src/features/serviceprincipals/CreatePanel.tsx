import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { Form } from 'react-aria-components'
import { types } from '../../api/keys.ts'
import { addSecret, createServicePrincipal } from '../../api/queries/directory.ts'
import type { Application } from '../../api/types.ts'
import { Button } from '../../ui/Button.tsx'
import { ErrorNote } from '../../ui/ErrorNote.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'
import { endOf, type SecretDraft, SecretFields } from './SecretFields.tsx'
import { SecretShown } from './SecretShown.tsx'

export function CreatePanel({ onClose }: { onClose: () => void }) {
  const client = useQueryClient()
  const [name, setName] = useState('')
  const [draft, setDraft] = useState<SecretDraft>({ name: 'initial', days: '90' })
  // When only the secret fails, a second try must not make a second principal.
  const [made, setMade] = useState<Application>()
  const create = useMutation({
    mutationFn: async () => {
      const application = made ?? (await createServicePrincipal(name.trim())).application
      setMade(application)
      return { application, secret: await addSecret(application.id, draft.name.trim(), endOf(draft)) }
    },
    onSettled: () => client.invalidateQueries({ queryKey: [types.servicePrincipal] }),
  })
  if (create.data) {
    return (
      <SidePanel
        title={name}
        onClose={onClose}
        footer={
          <Button variant="primary" onPress={onClose}>
            {m.done}
          </Button>
        }
      >
        <SecretShown secret={create.data.secret} appId={create.data.application.appId} />
      </SidePanel>
    )
  }
  return (
    <SidePanel title={m.create} subtitle={m.subtitle} onClose={onClose}>
      <Form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          create.mutate()
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
        <SecretFields draft={draft} onChange={setDraft} />
        {create.error && <ErrorNote error={create.error} />}
        <div className="flex justify-end gap-2">
          <Button onPress={onClose}>{m.cancel}</Button>
          <Button type="submit" variant="primary" isPending={create.isPending}>
            {m.create}
          </Button>
        </div>
      </Form>
    </SidePanel>
  )
}
