import { useQuery } from '@tanstack/react-query'
import { KeyRound } from 'lucide-react'
import { type ReactNode, useState } from 'react'
import {
  cancelRequest,
  deactivate,
  type EligibleRole,
  pimQueries,
  type RoleRequest,
  type RoleSpan,
} from '../../api/queries/pim.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { When } from '../../parts/When.tsx'
import { Badge } from '../../ui/Badge.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Page } from '../../ui/Page.tsx'
import { actionsColumn, Table, type TableColumn } from '../../ui/Table.tsx'
import { ActivateDialog } from './ActivateDialog.tsx'
import { DecideDialog } from './DecideDialog.tsx'
import { m } from './messages.ts'

const roleOf = (row: RoleSpan) => row.properties.expandedProperties.roleDefinition.displayName ?? ''
const scopeOf = (row: RoleSpan) => row.properties.expandedProperties.scope.displayName ?? row.properties.scope

const until = (iso?: string | null) =>
  iso ? <When iso={iso} /> : <span className="text-xs text-ink-3">{m.forever}</span>

const untilColumn = <T extends RoleSpan>(): TableColumn<T> => ({
  id: 'until',
  header: m.until,
  cell: (row) => until(row.properties.endDateTime),
})

type RoleTableProps<T> = {
  label: string
  rows: T[]
  /** What stands before and behind the role and its scope. */
  before?: TableColumn<T>[]
  behind?: TableColumn<T>[]
  action: (row: T) => ReactNode
}

/** Rows that are about a role at a scope, each with what can be done about it. */
function RoleTable<T extends RoleSpan>({ label, rows, before = [], behind = [], action }: RoleTableProps<T>) {
  return (
    <Table
      label={label}
      rows={rows}
      rowId={(row) => row.id}
      columns={[
        ...before,
        { id: 'role', header: m.role, cell: (row) => <span className="font-medium">{roleOf(row)}</span> },
        {
          id: 'scope',
          header: m.scope,
          cell: (row) => (
            <span className="text-ink-2" title={row.properties.scope}>
              {scopeOf(row)}
            </span>
          ),
        },
        ...behind,
        { ...actionsColumn, cell: action },
      ]}
    />
  )
}

export default function MyRolesPage() {
  const eligible = useQuery(pimQueries.eligible())
  const active = useQuery(pimQueries.active())
  const waiting = useQuery(pimQueries.waiting())
  const requests = useQuery(pimQueries.requests())
  const [activating, setActivating] = useState<EligibleRole>()
  const [deciding, setDeciding] = useState<RoleRequest>()
  const [returning, setReturning] = useState<RoleSpan>()
  const [taking, setTaking] = useState<RoleRequest>()
  return (
    <Page title={m.title} subtitle={m.subtitle}>
      {(waiting.data?.length ?? 0) > 0 && (
        <Card flush title={m.waiting}>
          <RoleTable
            label={m.waiting}
            rows={waiting.data ?? []}
            before={[
              {
                id: 'who',
                header: m.who,
                cell: (row) => row.properties.expandedProperties.principal.displayName ?? row.properties.principalId,
              },
            ]}
            behind={[
              {
                id: 'why',
                header: m.why,
                cell: (row) => <span className="block max-w-md truncate">{row.properties.justification}</span>,
              },
            ]}
            action={(row) => (
              <Button size="sm" variant="primary" onPress={() => setDeciding(row)}>
                {m.approve}…
              </Button>
            )}
          />
        </Card>
      )}
      <Card flush title={m.eligible}>
        <Section query={eligible}>
          {(rows) =>
            rows.length === 0 ? (
              <EmptyState icon={<KeyRound size={20} aria-hidden />} title={m.noEligible} />
            ) : (
              <RoleTable
                label={m.eligible}
                rows={rows}
                behind={[untilColumn()]}
                action={(row) => (
                  <Button
                    size="sm"
                    variant="primary"
                    onPress={() => setActivating(row)}
                    aria-label={`${m.activate}: ${roleOf(row)} ${scopeOf(row)}`}
                  >
                    {m.activate}
                  </Button>
                )}
              />
            )
          }
        </Section>
      </Card>
      {(active.data?.length ?? 0) > 0 && (
        <Card flush title={m.active}>
          <RoleTable
            label={m.active}
            rows={active.data ?? []}
            behind={[untilColumn()]}
            action={(row) => (
              <Button
                size="sm"
                onPress={() => setReturning(row)}
                aria-label={`${m.deactivate}: ${roleOf(row)} ${scopeOf(row)}`}
              >
                {m.deactivate}
              </Button>
            )}
          />
        </Card>
      )}
      <Card flush title={m.requests}>
        <Section query={requests}>{(rows) => <Requests rows={rows} onTakeBack={setTaking} />}</Section>
      </Card>
      {activating && <ActivateDialog role={activating} onClose={() => setActivating(undefined)} />}
      {returning && (
        <ReviewDialog
          title={`${m.deactivate}: ${roleOf(returning)}`}
          writes={[deactivate(returning)]}
          confirm={m.deactivate}
          done={m.deactivated}
          onDone={() => setReturning(undefined)}
          onClose={() => setReturning(undefined)}
        />
      )}
      {taking && (
        <ReviewDialog
          title={`${m.takeBack}: ${roleOf(taking)}`}
          writes={[cancelRequest(taking)]}
          confirm={m.takeBack}
          done={m.takenBack}
          onDone={() => setTaking(undefined)}
          onClose={() => setTaking(undefined)}
        />
      )}
      {deciding && <DecideDialog request={deciding} onClose={() => setDeciding(undefined)} />}
    </Page>
  )
}

const states = m as Record<string, unknown>
const stateText = (status: string) => (typeof states[status] === 'string' ? states[status] : status)

function Requests({ rows, onTakeBack }: { rows: RoleRequest[]; onTakeBack: (request: RoleRequest) => void }) {
  const own = rows
    .filter((row) => row.properties.requestType.startsWith('Self'))
    .toSorted((a, b) => b.properties.createdOn.localeCompare(a.properties.createdOn))
  if (own.length === 0) return <EmptyState title={m.noRequests} />
  return (
    <RoleTable
      label={m.requests}
      rows={own}
      behind={[
        {
          id: 'status',
          header: m.status,
          cell: ({ properties: { status } }) => (
            <Badge tone={status === 'PendingApproval' ? 'med' : 'info'}>{stateText(status)}</Badge>
          ),
        },
        { id: 'asked', header: m.asked, cell: (row) => <When iso={row.properties.createdOn} /> },
      ]}
      action={(row) =>
        ['PendingApproval', 'ScheduleCreated'].includes(row.properties.status) && (
          <Button size="sm" variant="ghost" onPress={() => onTakeBack(row)}>
            {m.takeBack}
          </Button>
        )
      }
    />
  )
}
