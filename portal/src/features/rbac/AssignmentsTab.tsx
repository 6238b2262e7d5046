import { useQuery } from '@tanstack/react-query'
import { Plus } from 'lucide-react'
import { useState } from 'react'
import { authorizationQueries } from '../../api/queries/authorization.ts'
import type { RoleAssignment } from '../../api/types.ts'
import { resourceWrite } from '../../api/writes.ts'
import { useScope } from '../../app/scope.ts'
import { nameOf, sameId } from '../../domain/armId.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { usePrincipalNames } from '../../parts/usePrincipalNames.ts'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { SearchField } from '../../ui/SearchField.tsx'
import { actionsColumn, Table } from '../../ui/Table.tsx'
import { AssignPanel } from './AssignPanel.tsx'
import { m } from './messages.ts'
import { scopeText } from './scopeText.ts'

type Row = { assignment: RoleAssignment; who: string; detail: string; role: string; scope: string }

export function AssignmentsTab() {
  const { session, subscriptionId } = useScope()
  const assignments = useQuery(authorizationQueries.assignments(subscriptionId))
  const definitions = useQuery(authorizationQueries.definitions(subscriptionId))
  const roles = definitions.data ?? []
  const { find, isPending } = usePrincipalNames()
  const [query, setQuery] = useState('')
  const [adding, setAdding] = useState(false)
  const [removing, setRemoving] = useState<Row>()

  const rowOf = (assignment: RoleAssignment): Row => {
    const { principalId, roleDefinitionId, scope } = assignment.properties
    const principal = find(principalId)
    const role = roles.find((item) => sameId(nameOf(item.id), nameOf(roleDefinitionId)))
    return {
      assignment,
      who: principal?.name ?? principalId,
      detail: principal?.detail ?? '',
      role: role?.properties.roleName ?? nameOf(roleDefinitionId),
      scope: scopeText(scope, session.subscriptions),
    }
  }
  const needle = query.trim().toLowerCase()
  return (
    <Card flush>
      <div className="flex items-center justify-between gap-2 border-b border-line px-3 py-2.5">
        <SearchField label={m.find} value={query} onChange={setQuery} />
        <Button variant="primary" onPress={() => setAdding(true)}>
          <Plus size={14} aria-hidden />
          {m.add}
        </Button>
      </div>
      <Section query={assignments} isWaiting={isPending || definitions.isPending}>
        {(all) => {
          const rows = all
            .map(rowOf)
            .filter((row) => [row.who, row.detail, row.role, row.scope].join('\n').toLowerCase().includes(needle))
          return rows.length === 0 ? (
            <EmptyState title={m.none} />
          ) : (
            <AssignmentTable rows={rows} onRemove={setRemoving} />
          )
        }}
      </Section>
      {adding && <AssignPanel onClose={() => setAdding(false)} />}
      {removing && (
        <ReviewDialog
          title={m.removeTitle(removing.role, removing.who)}
          writes={[resourceWrite('DELETE', removing.assignment.id)]}
          confirm={m.remove}
          done={m.removed}
          onDone={() => setRemoving(undefined)}
          onClose={() => setRemoving(undefined)}
        >
          <p className="text-sm">
            {removing.scope} <span className="text-ink-2">{m.removeWhy}</span>
          </p>
        </ReviewDialog>
      )}
    </Card>
  )
}

function AssignmentTable({ rows, onRemove }: { rows: Row[]; onRemove: (row: Row) => void }) {
  return (
    <Table
      label={m.assignments}
      rows={rows}
      rowId={({ assignment }) => assignment.id}
      columns={[
        {
          id: 'principal',
          header: m.principal,
          cell: ({ who, detail }) => (
            <span>
              <span className="font-medium">{who}</span>
              {detail && <span className="ml-2 text-xs text-ink-3">{detail}</span>}
            </span>
          ),
        },
        {
          id: 'type',
          header: m.type,
          cell: ({ assignment }) => <span className="text-ink-2">{m[assignment.properties.principalType]}</span>,
        },
        { id: 'role', header: m.role, cell: ({ role }) => role },
        {
          id: 'scope',
          header: m.scope,
          cell: ({ assignment, scope }) => (
            <span className="text-ink-2" title={assignment.properties.scope}>
              {scope}
            </span>
          ),
        },
        {
          ...actionsColumn,
          cell: (row) => (
            <Button
              size="sm"
              variant="ghost"
              onPress={() => onRemove(row)}
              aria-label={`${m.remove}: ${row.who} ${row.role}`}
            >
              {m.remove}
            </Button>
          ),
        },
      ]}
    />
  )
}
