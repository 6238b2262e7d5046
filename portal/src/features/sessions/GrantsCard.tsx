import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { authQueries, revokeGrant } from '../../api/queries/auth.ts'
import type { GrantRow } from '../../api/types.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { When } from '../../parts/When.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { actionsColumn, Table } from '../../ui/Table.tsx'
import { m } from './messages.ts'

const nameOf = ({ clientName, clientId }: GrantRow) => clientName ?? clientId

/** What acts as oneself without a browser: each was let in on the authorization page or with a device code. */
export function GrantsCard() {
  const grants = useQuery(authQueries.grants())
  const [ending, setEnding] = useState<GrantRow>()
  const close = () => setEnding(undefined)
  return (
    <Card flush title={m.grants}>
      <Section query={grants}>
        {(rows) =>
          rows.length === 0 ? (
            <p className="p-4 text-sm text-ink-2">{m.noGrants}</p>
          ) : (
            <GrantTable grants={rows} onEnd={setEnding} />
          )
        }
      </Section>
      {ending && (
        <ReviewDialog
          title={m.endTitle(nameOf(ending))}
          writes={[revokeGrant(ending)]}
          confirm={m.end}
          done={m.ended}
          onDone={close}
          onClose={close}
        >
          <p className="text-sm">{m.endWhy}</p>
        </ReviewDialog>
      )}
    </Card>
  )
}

function GrantTable({ grants, onEnd }: { grants: GrantRow[]; onEnd: (grant: GrantRow) => void }) {
  return (
    <Table
      label={m.grants}
      rows={grants}
      rowId={(grant) => grant.id}
      columns={[
        {
          id: 'client',
          header: m.program,
          cell: (grant) => (
            <span className="font-medium" title={grant.userAgent}>
              {nameOf(grant)}
            </span>
          ),
        },
        {
          id: 'address',
          header: m.address,
          cell: (grant) => <span className="font-mono text-xs">{grant.ipAddress}</span>,
        },
        { id: 'methods', header: m.methods, cell: (grant) => grant.methods.map((method) => m[method]).join(' + ') },
        { id: 'created', header: m.allowed, cell: (grant) => <When iso={grant.createdAt} /> },
        { id: 'used', header: m.used, cell: (grant) => <When iso={grant.lastUsedAt} /> },
        { id: 'expires', header: m.expires, cell: (grant) => <When iso={grant.expiresAt} /> },
        {
          ...actionsColumn,
          cell: (grant) => (
            <Button size="sm" variant="ghost" onPress={() => onEnd(grant)} aria-label={`${m.end}: ${nameOf(grant)}`}>
              {m.end}
            </Button>
          ),
        },
      ]}
    />
  )
}
