import { useQuery } from '@tanstack/react-query'
import { ArrowRight, Plus, Scale } from 'lucide-react'
import { type ReactNode, useState } from 'react'
import { networkQueries } from '../../api/queries/network.ts'
import type { Invariant, InvariantCheck, InvariantProperties } from '../../api/types.ts'
import { resourceWrite } from '../../api/writes.ts'
import { inGroup, useScope } from '../../app/scope.ts'
import { nameOf, parseArmId } from '../../domain/armId.ts'
import { tagsText } from '../../domain/invariants.ts'
import { listOf } from '../../domain/rules.ts'
import { ResourceLink } from '../../parts/ResourceLink.tsx'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { anyText, protocolText } from '../../parts/ruleText.ts'
import { Section } from '../../parts/Section.tsx'
import { Badge } from '../../ui/Badge.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Page } from '../../ui/Page.tsx'
import { actionsColumn, Table } from '../../ui/Table.tsx'
import type { Tone } from '../../ui/tone.ts'
import { im } from './invariantMessages.ts'
import { InvariantPanel } from './InvariantPanel.tsx'
import { m } from './messages.ts'

type Violation = NonNullable<InvariantCheck['violation']>
type Example = NonNullable<Violation['counterExample']>

const tones: Record<InvariantCheck['state'], Tone> = { holds: 'ok', broken: 'crit', unknown: 'med' }

function peerText(p: InvariantProperties, side: 'source' | 'destination') {
  const tags = p[`${side}MachineTags`]
  if (tags) return im.machinesOf(tagsText(tags))
  const asgs = p[`${side}ApplicationSecurityGroups`] ?? []
  if (asgs.length > 0) return asgs.map((asg) => nameOf(asg.id)).join(', ')
  return anyText(listOf(p[`${side}AddressPrefix`] ?? undefined, p[`${side}AddressPrefixes`] ?? undefined))
}

function Statement({ invariant: { properties: p } }: { invariant: Invariant }) {
  const ports = anyText(listOf(p.destinationPortRange ?? undefined, p.destinationPortRanges ?? undefined))
  return (
    <span className="text-xs" title={p.description ?? undefined}>
      <span className="font-mono break-all">
        {protocolText(p.protocol)} {peerText(p, 'source')}
        <ArrowRight size={11} className="mx-1 inline" aria-hidden />
        {peerText(p, 'destination')}:{ports}
      </span>{' '}
      {p.must === 'Deny' ? im.mustDeny : im.mustAllow}
    </span>
  )
}

const at = (address: string, port?: number | null) =>
  port === undefined || port === null ? address : `${address}:${port}`

/** A packet that breaks the invariant, and what decides about it on its way. */
function CounterExample({ example: { packet, decidedBy } }: { example: Example }) {
  const decider = ({ rule, networkSecurityGroup }: Example['decidedBy'][number]) => {
    if (!networkSecurityGroup) return im.noGroup
    return rule ? im.byRule(rule, nameOf(networkSecurityGroup)) : im.noRule
  }
  return (
    <span className="text-xs text-ink-2">
      <span className="font-mono break-all">
        {packet.protocol} {at(packet.sourceAddress, packet.sourcePort)}
        <ArrowRight size={11} className="mx-1 inline" aria-hidden />
        {at(packet.destinationAddress, packet.destinationPort)}
      </span>{' '}
      {decidedBy.map(decider).join(', ')}
    </span>
  )
}

function State({ id }: { id: string }) {
  const query = useQuery(networkQueries.invariantCheck(id))
  return (
    <Section query={query} skeleton="h-4">
      {({ state, interfaces, violation }) => (
        <span className="flex flex-col items-start gap-1">
          <span className="flex items-center gap-2">
            <Badge tone={tones[state]}>{im[state]}</Badge>
            <span className="text-xs text-ink-2">{im.machines(interfaces)}</span>
          </span>
          {violation?.counterExample && <CounterExample example={violation.counterExample} />}
        </span>
      )}
    </Section>
  )
}

export function InvariantsPage({ tabs }: { tabs: ReactNode }) {
  const { subscriptionId, resourceGroup } = useScope()
  const invariants = useQuery(networkQueries.invariants(subscriptionId))
  const [editing, setEditing] = useState<{ invariant?: Invariant }>()
  const [removing, setRemoving] = useState<Invariant>()
  const create = (
    <Button variant="primary" onPress={() => setEditing({})}>
      <Plus size={14} aria-hidden />
      {m.create}
    </Button>
  )
  return (
    <Page title={im.title} subtitle={im.subtitle} actions={create} tabs={tabs}>
      <Card flush>
        <Section query={invariants} skeleton="h-96">
          {(all) => {
            // Those of the subscription hold in every group of it.
            const rows = all.filter(({ id }) => {
              const group = parseArmId(id)?.resourceGroup
              return group === undefined || inGroup(resourceGroup, group)
            })
            if (rows.length === 0) {
              return (
                <EmptyState icon={<Scale size={20} aria-hidden />} title={im.empty} action={create}>
                  {im.emptyWhy}
                </EmptyState>
              )
            }
            return (
              <Table
                label={im.title}
                rows={rows}
                rowId={({ id }) => id}
                columns={[
                  { id: 'name', header: m.name, cell: (row) => <ResourceLink id={row.id} /> },
                  {
                    id: 'scope',
                    header: im.scope,
                    cell: ({ id }) => (
                      <span className="text-ink-2">{parseArmId(id)?.resourceGroup ?? im.wholeSubscription}</span>
                    ),
                  },
                  { id: 'statement', header: im.statement, cell: (row) => <Statement invariant={row} /> },
                  {
                    id: 'enforcement',
                    header: im.enforcement,
                    cell: ({ properties }) => (
                      <Badge tone={properties.enforcement === 'report' ? 'low' : 'ok'}>
                        {im[properties.enforcement]}
                      </Badge>
                    ),
                  },
                  { id: 'state', header: im.state, cell: ({ id }) => <State id={id} /> },
                  {
                    ...actionsColumn,
                    cell: (row) => (
                      <span className="flex justify-end gap-1">
                        <Button
                          size="sm"
                          variant="ghost"
                          onPress={() => setEditing({ invariant: row })}
                          aria-label={im.edit(row.name)}
                        >
                          {im.change}
                        </Button>
                        <Button
                          size="sm"
                          variant="ghost"
                          onPress={() => setRemoving(row)}
                          aria-label={im.remove(row.name)}
                        >
                          {m.remove}
                        </Button>
                      </span>
                    ),
                  },
                ]}
              />
            )
          }}
        </Section>
      </Card>
      {editing && (
        <InvariantPanel
          invariant={editing.invariant}
          known={invariants.data ?? []}
          onClose={() => setEditing(undefined)}
        />
      )}
      {removing && (
        <ReviewDialog
          title={im.remove(removing.name)}
          writes={[resourceWrite('DELETE', removing.id, { etag: removing.etag })]}
          onClose={() => setRemoving(undefined)}
          onDone={() => setRemoving(undefined)}
        />
      )}
    </Page>
  )
}
