import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { Fingerprint, KeyRound, LifeBuoy, type LucideIcon, Plus, Smartphone } from 'lucide-react'
import { useState } from 'react'
import { Form } from 'react-aria-components'
import { types } from '../../api/keys.ts'
import { passkeysSupported, wasDismissed } from '../../api/passkey.ts'
import { addPasskey, authQueries, deleteCredential } from '../../api/queries/auth.ts'
import type { Credential } from '../../api/types.ts'
import { ago, num } from '../../app/format.ts'
import { toast } from '../../app/toast.ts'
import { ConfirmDialog } from '../../parts/ConfirmDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { Badge } from '../../ui/Badge.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { Dialog } from '../../ui/Dialog.tsx'
import { ErrorNote } from '../../ui/ErrorNote.tsx'
import { Table } from '../../ui/Table.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'

const icons: Record<Credential['kind'], LucideIcon> = {
  passkey: Fingerprint,
  password: KeyRound,
  totp: Smartphone,
  recovery: LifeBuoy,
}

/** A credential nobody named is called by its kind. */
const labelOf = ({ kind, label }: Credential) => (label === '' || label === kind ? m[kind] : label)

export function CredentialsCard() {
  const client = useQueryClient()
  const credentials = useQuery(authQueries.credentials())
  const [adding, setAdding] = useState(false)
  const [removing, setRemoving] = useState<Credential>()
  const changed = (text: string) => {
    toast(text)
    setAdding(false)
    setRemoving(undefined)
    void client.invalidateQueries({ queryKey: [types.session, 'credentials'] })
  }
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
      <Section query={credentials}>{(rows) => <CredentialTable credentials={rows} onRemove={setRemoving} />}</Section>
      {adding && <AddPasskey onAdded={() => changed(m.addDone)} onClose={() => setAdding(false)} />}
      {removing && (
        <ConfirmDialog
          title={m.removeTitle(labelOf(removing))}
          confirm={m.remove}
          act={() => deleteCredential(removing.id)}
          onDone={() => changed(m.removed)}
          onClose={() => setRemoving(undefined)}
        >
          {m.removeWhy}
        </ConfirmDialog>
      )}
    </Card>
  )
}

function CredentialTable({
  credentials,
  onRemove,
}: {
  credentials: Credential[]
  onRemove: (credential: Credential) => void
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
          id: 'actions',
          header: m.actions,
          hideHeader: true,
          align: 'right',
          cell: (credential) => (
            <Button
              size="sm"
              variant="ghost"
              onPress={() => onRemove(credential)}
              aria-label={`${m.remove} ${labelOf(credential)}`}
            >
              {m.remove}
            </Button>
          ),
        },
      ]}
    />
  )
}

function AddPasskey({ onAdded, onClose }: { onAdded: () => void; onClose: () => void }) {
  const [label, setLabel] = useState('')
  const add = useMutation({ mutationFn: () => addPasskey(label.trim()), onSuccess: onAdded })
  return (
    <Dialog title={m.addTitle} onClose={onClose}>
      <Form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          add.mutate()
        }}
      >
        <TextField
          label={m.addLabel}
          value={label}
          onChange={setLabel}
          hint={m.addHint}
          isRequired
          autoFocus
          maxLength={64}
        />
        {add.error && !wasDismissed(add.error) && <ErrorNote error={add.error} />}
        <div className="flex justify-end gap-2">
          <Button onPress={onClose}>{m.cancel}</Button>
          <Button type="submit" variant="primary" isPending={add.isPending}>
            {m.create}
          </Button>
        </div>
      </Form>
    </Dialog>
  )
}
