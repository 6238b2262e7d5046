import type { WhoCan } from '../../api/types.ts'
import { useScope } from '../../app/scope.ts'
import { usePrincipalNames } from '../../parts/usePrincipalNames.ts'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Table } from '../../ui/Table.tsx'
import { m } from './messages.ts'
import { scopeText } from './scopeText.ts'

export function WhoCanAnswer({ rows }: { rows: WhoCan[] }) {
  const { session } = useScope()
  const { nameOf } = usePrincipalNames()
  return (
    <Card flush>
      {rows.length === 0 ? (
        <EmptyState title={m.nobody} />
      ) : (
        <Table
          label={m.whoQuestion}
          rows={rows}
          rowId={(row) => `${row.principalId} ${row.assignmentId} ${row.via}`}
          columns={[
            { id: 'who', header: m.principal, cell: (row) => <span className="font-medium">{row.displayName}</span> },
            { id: 'type', header: m.type, cell: (row) => <span className="text-ink-2">{m[row.principalType]}</span> },
            { id: 'role', header: m.role, cell: (row) => row.roleName },
            {
              id: 'scope',
              header: m.scope,
              cell: (row) => <span title={row.scope}>{scopeText(row.scope, session.subscriptions)}</span>,
            },
            {
              id: 'through',
              header: m.through,
              cell: (row) => <span className="text-xs text-ink-2">{row.via ? m.via(nameOf(row.via)) : '–'}</span>,
            },
          ]}
        />
      )}
    </Card>
  )
}
