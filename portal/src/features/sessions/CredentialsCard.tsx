import { useQuery } from '@tanstack/react-query'
import { Fingerprint, KeyRound, LifeBuoy, type LucideIcon, Plus, Smartphone } from 'lucide-react'
import { useState } from 'react'
import { passkeysSupported } from '../../api/passkey.ts'
import { authQueries, deleteCredential } from '../../api/queries/auth.ts'
import type { Credential } from '../../api/types.ts'
import { ago, num } from '../../app/format.ts'
import { AddPasskey } from '../../parts/AddPasskey.tsx'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { Badge } from '../../ui/Badge.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { actionsColumn, Table } from '../../ui/Table.tsx'
import { m } from './messages.ts'
import { PasswordDialog } from './PasswordDialog.tsx'

const icons: Record<Credential['kind'], LucideIcon> = {
  passkey: Fingerprint,
  password: KeyRound,
  totp: Smartphone,
  recovery: LifeBuoy,
}

/** A credential nobody named is called by its kind. */
const labelOf = ({ kind, label }: Credential) => (label === '' || label === kind ? m[kind] : label)

export function CredentialsCard() {
  const credentials = useQuery(authQueries.credentials())
  const [adding, setAdding] = useState(false)
  const [changing, setChanging] = useState(false)
  const [removing, setRemoving] = useState<Credential>()
  return (
    <Card
      flush
      title={m.credentials}
      actions={
        passkeysSupported() && (
          <Button size="sm" onPress={() => setAdding(true)}>
            <Plus size={13} aria-hidden />
            {m.add}
          </Button>
        )
      }
    >
      <Section query={credentials}>
        {(rows) => <CredentialTable credentials={rows} onRemove={setRemoving} onChange={() => setChanging(true)} />}
      </Section>
      {changing && <PasswordDialog onClose={() => setChanging(false)} />}
      {adding && <AddPasskey onClose={() => setAdding(false)} />}
      {removing && (
        <ReviewDialog
          title={m.removeTitle(labelOf(removing))}
          writes={[deleteCredential(removing)]}
          confirm={m.remove}
          done={m.removed}
          onDone={() => setRemoving(undefined)}
          onClose={() => setRemoving(undefined)}
        >
          <p className="text-sm">{m.removeWhy}</p>
        </ReviewDialog>
      )}
    </Card>
  )
}

function CredentialTable({
  credentials,
  onRemove,
  onChange,
}: {
  credentials: Credential[]
  onRemove: (credential: Credential) => void
  onChange: () => void
}) {
  return (
    <Table
      label={m.credentials}
      rows={credentials}
      rowId={(credential) => credential.id}
      columns={[
        {
          id: 'kind',
          header: m.kind,
          cell: ({ kind, syncable, remaining }) => {
            const Icon = icons[kind]
            return (
              <span className="flex items-center gap-2">
                <Icon size={15} className="text-ink-3" aria-hidden />
                {m[kind]}
                {syncable && <Badge tone="low">{m.synced}</Badge>}
                {remaining !== undefined && (
                  <Badge tone={remaining < 3 ? 'med' : 'low'}>{m.left(num(remaining))}</Badge>
                )}
              </span>
            )
          },
        },
        { id: 'label', header: m.label, cell: ({ kind, label }) => (label === kind ? '' : label) },
        {
          id: 'added',
          header: m.added,
          cell: (credential) => <span className="tnum text-xs text-ink-2">{ago(credential.createdAt)}</span>,
        },
        {
          id: 'used',
          header: m.used,
          cell: ({ lastUsedAt }) => (
            <span className="tnum text-xs text-ink-2">{lastUsedAt ? ago(lastUsedAt) : m.never}</span>
          ),
        },
        {
          ...actionsColumn,
          cell: (credential) => (
            <span className="inline-flex gap-1">
              {credential.kind === 'password' && (
                <Button size="sm" variant="ghost" onPress={onChange}>
                  {m.change}
                </Button>
              )}
              <Button
                size="sm"
                variant="ghost"
                onPress={() => onRemove(credential)}
                aria-label={`${m.remove} ${labelOf(credential)}`}
              >
                {m.remove}
              </Button>
            </span>
          ),
        },
      ]}
    />
  )
}
