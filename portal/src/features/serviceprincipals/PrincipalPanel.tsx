import { KeyRound, X } from 'lucide-react'
import { useState } from 'react'
import { Form } from 'react-aria-components'
import { addSecret, removeSecret } from '../../api/queries/directory.ts'
import type { Application, PasswordCredential, ServicePrincipal } from '../../api/types.ts'
import type { Write } from '../../api/writes.ts'
import { ago } from '../../app/format.ts'
import { useUnsaved } from '../../app/unsaved.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Button } from '../../ui/Button.tsx'
import { IconButton } from '../../ui/IconButton.tsx'
import { PropertyList } from '../../ui/PropertyList.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { m } from './messages.ts'
import { endOf, type SecretDraft, SecretFields } from './SecretFields.tsx'
import { SecretShown } from './SecretShown.tsx'

const mono = (text: string) => <span className="font-mono text-xs break-all">{text}</span>

const empty: SecretDraft = { name: '', days: '90' }

export function PrincipalPanel({
  principal,
  application,
  onClose,
}: {
  principal: ServicePrincipal
  application?: Application
  onClose: () => void
}) {
  const [draft, setDraft] = useState(empty)
  const close = useUnsaved(draft !== empty, onClose)
  return (
    <SidePanel title={principal.displayName} onClose={close}>
      <div className="flex flex-col gap-5">
        <PropertyList
          items={[
            [m.appId, mono(principal.appId)],
            [m.objectId, mono(principal.id)],
          ]}
        />
        {application && <Secrets application={application} draft={draft} onDraft={setDraft} />}
      </div>
    </SidePanel>
  )
}

type SecretsProps = { application: Application; draft: SecretDraft; onDraft: (draft: SecretDraft) => void }

function Secrets({ application, draft, onDraft }: SecretsProps) {
  const [adding, setAdding] = useState<Write<PasswordCredential>>()
  const [removing, setRemoving] = useState<PasswordCredential>()
  const [made, setMade] = useState<PasswordCredential>()
  const secrets = application.passwordCredentials ?? []
  return (
    <section aria-label={m.secrets} className="flex flex-col gap-3">
      <h3 className="text-sm font-semibold">{m.secrets}</h3>
      {secrets.length === 0 && <p className="text-sm text-ink-2">{m.noSecrets}</p>}
      {secrets.length > 0 && (
        <ul className="divide-y divide-line rounded-lg border border-line">
          {secrets.map((secret) => (
            <SecretRow key={secret.keyId} secret={secret} onRemove={() => setRemoving(secret)} />
          ))}
        </ul>
      )}
      {made ? (
        <SecretShown secret={made} appId={application.appId} />
      ) : (
        <Form
          className="flex flex-col items-end gap-3"
          onSubmit={(event) => {
            event.preventDefault()
            setAdding(addSecret(application, draft.name.trim(), endOf(draft)))
          }}
        >
          <div className="w-full">
            <SecretFields draft={draft} onChange={onDraft} />
          </div>
          <Button type="submit" isDisabled={draft.name.trim() === ''}>
            {m.addSecret}
          </Button>
        </Form>
      )}
      {adding && (
        <ReviewDialog<PasswordCredential>
          title={m.addSecret}
          writes={[adding]}
          run={(send) => send(adding)}
          confirm={m.addSecret}
          done={m.secretAdded}
          onClose={() => setAdding(undefined)}
          onDone={(secret) => {
            setAdding(undefined)
            onDraft(empty)
            setMade(secret)
          }}
        />
      )}
      {removing && (
        <ReviewDialog
          title={m.removeSecret(removing.displayName ?? removing.keyId)}
          writes={[removeSecret(application, removing.keyId)]}
          confirm={m.remove}
          done={m.secretRemoved}
          onClose={() => setRemoving(undefined)}
          onDone={() => setRemoving(undefined)}
        >
          <p className="text-sm">{m.secretEnds}</p>
        </ReviewDialog>
      )}
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
