import { useMutation, useQueryClient } from '@tanstack/react-query'
import { KeyRound, X } from 'lucide-react'
import { useState } from 'react'
import { Form } from 'react-aria-components'
import { types } from '../../api/keys.ts'
import { addSecret, removeSecret } from '../../api/queries/directory.ts'
import type { Application, PasswordCredential, ServicePrincipal } from '../../api/types.ts'
import { ago } from '../../app/format.ts'
import { Button } from '../../ui/Button.tsx'
import { ErrorNote } from '../../ui/ErrorNote.tsx'
import { IconButton } from '../../ui/IconButton.tsx'
import { PropertyList } from '../../ui/PropertyList.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { m } from './messages.ts'
import { endOf, type SecretDraft, SecretFields } from './SecretFields.tsx'
import { SecretShown } from './SecretShown.tsx'

const mono = (text: string) => <span className="font-mono text-xs break-all">{text}</span>

export function PrincipalPanel({
  principal,
  application,
  onClose,
}: {
  principal: ServicePrincipal
  application?: Application
  onClose: () => void
}) {
  return (
    <SidePanel title={principal.displayName} onClose={onClose}>
      <div className="flex flex-col gap-5">
        <PropertyList
          items={[
            [m.appId, mono(principal.appId)],
            [m.objectId, mono(principal.id)],
          ]}
        />
        {application && <Secrets application={application} />}
      </div>
    </SidePanel>
  )
}

function Secrets({ application }: { application: Application }) {
  const client = useQueryClient()
  const [draft, setDraft] = useState<SecretDraft>({ name: '', days: '90' })
  const refresh = () => client.invalidateQueries({ queryKey: [types.servicePrincipal] })
  const add = useMutation({
    mutationFn: () => addSecret(application.id, draft.name.trim(), endOf(draft)),
    onSuccess: refresh,
  })
  const remove = useMutation({ mutationFn: (keyId: string) => removeSecret(application.id, keyId), onSuccess: refresh })
  const secrets = application.passwordCredentials ?? []
  const error = add.error ?? remove.error
  return (
    <section aria-label={m.secrets} className="flex flex-col gap-3">
      <h3 className="text-sm font-semibold">{m.secrets}</h3>
      {secrets.length === 0 && <p className="text-sm text-ink-2">{m.noSecrets}</p>}
      {secrets.length > 0 && (
        <ul className="divide-y divide-line rounded-lg border border-line">
          {secrets.map((secret) => (
            <SecretRow key={secret.keyId} secret={secret} onRemove={() => remove.mutate(secret.keyId)} />
          ))}
        </ul>
      )}
      {add.data ? (
        <SecretShown secret={add.data} appId={application.appId} />
      ) : (
        <Form
          className="flex flex-col items-end gap-3"
          onSubmit={(event) => {
            event.preventDefault()
            add.mutate()
          }}
        >
          <div className="w-full">
            <SecretFields draft={draft} onChange={setDraft} />
          </div>
          <Button type="submit" isPending={add.isPending} isDisabled={draft.name.trim() === ''}>
            {m.addSecret}
          </Button>
        </Form>
      )}
      {error && <ErrorNote error={error} />}
    </section>
  )
}

function SecretRow({ secret, onRemove }: { secret: PasswordCredential; onRemove: () => void }) {
  const name = secret.displayName ?? secret.keyId
  return (
    <li className="flex items-center gap-2 py-1 pr-1 pl-3 text-sm">
      <KeyRound size={14} className="shrink-0 text-ink-3" aria-hidden />
      <span className="min-w-0 flex-1 truncate">
        {name}
        {secret.hint && <span className="ml-2 font-mono text-xs text-ink-3">{secret.hint}…</span>}
      </span>
      <span className="tnum text-xs text-ink-2">{m.expiresAt(ago(secret.endDateTime))}</span>
      <IconButton label={m.removeSecret(name)} onPress={onRemove}>
        <X size={14} aria-hidden />
      </IconButton>
    </li>
  )
}
