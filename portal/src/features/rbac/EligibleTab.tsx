import { useQuery } from '@tanstack/react-query'
import { Plus } from 'lucide-react'
import { useState } from 'react'
import { endSpan, pimQueries, type RoleSpan } from '../../api/queries/pim.ts'
import { useScope } from '../../app/scope.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { When } from '../../parts/When.tsx'
import { Badge } from '../../ui/Badge.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { actionsColumn, Table } from '../../ui/Table.tsx'
import { EligiblePanel } from './EligiblePanel.tsx'
import { m } from './messages.ts'
import { RoleSettingsPanel } from './RoleSettingsPanel.tsx'
import { scopeText } from './scopeText.ts'

const words = (row: RoleSpan) => {
  const { principal, roleDefinition } = row.properties.expandedProperties
  return { who: principal.displayName ?? principal.id, role: roleDefinition.displayName ?? '' }
}

function kindOf({ id, properties }: RoleSpan) {
  if (id.toLowerCase().includes('/roleeligibilityschedules/')) return m.Eligibility
  return properties.assignmentType === 'Activated' ? m.activated : m.Assignment
}

export function EligibleTab() {
  const { session, subscriptionId } = useScope()
  const spans = useQuery(pimQueries.spans(subscriptionId))
  const [adding, setAdding] = useState(false)
  const [ending, setEnding] = useState<RoleSpan>()
  const [setting, setSetting] = useState<RoleSpan>()
  return (
    <Card
      flush
      title={m.eligible}
      actions={
        <Button variant="primary" size="sm" onPress={() => setAdding(true)}>
          <Plus size={14} aria-hidden />
          {m.addEligible}
        </Button>
      }
    >
      <Section query={spans}>
        {(rows) =>
          rows.length === 0 ? (
            <EmptyState title={m.noneEligible} />
          ) : (
            <Table
              label={m.eligible}
              rows={rows}
              rowId={(row) => row.id}
              columns={[
                {
                  id: 'who',
                  header: m.principal,
                  cell: (row) => <span className="font-medium">{words(row).who}</span>,
                },
                { id: 'role', header: m.role, cell: (row) => words(row).role },
                {
                  id: 'scope',
                  header: m.scope,
                  cell: ({ properties: { scope } }) => (
                    <span className="text-ink-2" title={scope}>
                      {scopeText(scope, session.subscriptions)}
                    </span>
                  ),
                },
                {
                  id: 'kind',
                  header: m.kind,
                  cell: (row) => (
                    <Badge tone={row.properties.assignmentType === 'Activated' ? 'ok' : 'info'}>{kindOf(row)}</Badge>
                  ),
                },
                {
                  id: 'until',
                  header: m.until,
                  cell: ({ properties: { endDateTime } }) =>
                    endDateTime ? <When iso={endDateTime} /> : <span className="text-xs text-ink-3">{m.forever}</span>,
                },
                {
                  ...actionsColumn,
                  cell: (row) => (
                    <span className="inline-flex gap-1">
                      <Button
                        size="sm"
                        variant="ghost"
                        onPress={() => setSetting(row)}
                        aria-label={`${m.settings}: ${words(row).who} ${words(row).role}`}
                      >
                        {m.settings}
                      </Button>
                      <Button
                        size="sm"
                        variant="ghost"
                        onPress={() => setEnding(row)}
                        aria-label={`${m.end}: ${words(row).who} ${words(row).role}`}
                      >
                        {m.end}
                      </Button>
                    </span>
                  ),
                },
              ]}
            />
          )
        }
      </Section>
      {adding && <EligiblePanel onClose={() => setAdding(false)} />}
      {setting && (
        <RoleSettingsPanel
          scope={setting.properties.scope}
          role={{ id: setting.properties.roleDefinitionId, name: words(setting).role }}
          onClose={() => setSetting(undefined)}
        />
      )}
      {ending && (
        <ReviewDialog
          title={m.endTitle(words(ending).role, words(ending).who)}
          writes={[endSpan(ending)]}
          confirm={m.end}
          done={m.ended}
          onDone={() => setEnding(undefined)}
          onClose={() => setEnding(undefined)}
        >
          <p className="text-sm text-ink-2">{m.endWhy}</p>
        </ReviewDialog>
      )}
    </Card>
  )
}
