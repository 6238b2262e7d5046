import { useQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { Workflow, X } from 'lucide-react'
import { useState } from 'react'
import { type FlowMapFilter, type Grouping, trafficQueries } from '../../api/queries/traffic.ts'
import type { FlowEdge, FlowMap } from '../../api/types.ts'
import { useScope } from '../../app/scope.ts'
import { nameOf } from '../../domain/armId.ts'
import { Section } from '../../parts/Section.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Page } from '../../ui/Page.tsx'
import { Select } from '../../ui/Select.tsx'
import { actionsColumn, Table } from '../../ui/Table.tsx'
import { FilterBar, type Kind, type Span } from '../traffic/FilterBar.tsx'
import { m as traffic } from '../traffic/messages.ts'
import { amounts } from '../traffic/tables.tsx'
import { EdgePanel } from './EdgePanel.tsx'
import { MapCard } from './MapCard.tsx'
import { m } from './messages.ts'
import { nodeText } from './nodeText.ts'

const route = getRouteApi('/shell/flow-map')

const oneOf = <T extends string>(all: readonly T[], value: string | undefined, otherwise: T) =>
  all.find((one) => one === value) ?? otherwise

const spans: readonly Span[] = ['15', '60', '1440']
const kinds: readonly Kind[] = ['all', 'Allow', 'Deny']
const groupings: readonly Grouping[] = ['ApplicationSecurityGroup', 'Subnet', 'NetworkSecurityGroup']

/** Who talks with whom: groups first, the machines of one of them when asked, and what is behind each connection. */
export default function FlowMapPage() {
  const { subscriptionId, resourceGroup } = useScope()
  const scope = resourceGroup ? `${subscriptionId}/resourceGroups/${resourceGroup}` : subscriptionId
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const [edge, setEdge] = useState<{ edge: FlowEdge; title: string }>()
  const set = (change: Partial<typeof search>) => void navigate({ search: (old) => ({ ...old, ...change }) })
  const span = oneOf(spans, search.span, '60')
  const kind = oneOf(kinds, search.access, 'all')
  const groupBy = oneOf(groupings, search.by, 'ApplicationSecurityGroup')
  const filter: FlowMapFilter = {
    minutes: Number(span),
    access: kind === 'all' ? undefined : kind,
    groupBy,
    expand: search.expand,
  }
  const query = useQuery(trafficQueries.map(scope, filter))
  return (
    <Page title={m.title}>
      <FilterBar span={span} onSpan={(id) => set({ span: id })} kind={kind} onKind={(id) => set({ access: id })}>
        <Select
          label={m.by}
          value={groupBy}
          onChange={(by) => set({ by, expand: undefined })}
          className="w-64"
          options={[
            { id: 'ApplicationSecurityGroup', label: m.byAsg },
            { id: 'Subnet', label: m.bySubnet },
            { id: 'NetworkSecurityGroup', label: m.byNsg },
          ]}
        />
        {search.expand && (
          <Button onPress={() => set({ expand: undefined })} aria-label={m.collapse}>
            {m.expanded(nameOf(search.expand))}
            <X size={14} aria-hidden />
          </Button>
        )}
      </FilterBar>
      <Section query={query} skeleton="h-96">
        {(map) =>
          map.edges.length === 0 ? (
            <EmptyState icon={<Workflow size={20} aria-hidden />} title={m.none}>
              {m.noneWhy}
            </EmptyState>
          ) : (
            <>
              {!map.isAll && <p className="text-sm text-ink-2">{traffic.notAll}</p>}
              <MapCard
                map={map}
                onEdge={(one) => setEdge({ edge: one, title: titleOf(map, one) })}
                onExpand={(node) => set({ expand: node.id })}
              />
              <Connections map={map} onShow={(one) => setEdge({ edge: one, title: titleOf(map, one) })} />
              {map.otherEdges > 0 && <p className="text-sm text-ink-2">{m.other(map.otherEdges)}</p>}
            </>
          )
        }
      </Section>
      {edge && <EdgePanel scope={scope} filter={filter} {...edge} onClose={() => setEdge(undefined)} />}
    </Page>
  )
}

function endText(map: FlowMap, id: string) {
  const node = map.nodes.find((one) => one.id === id)
  return node ? nodeText(node) : id
}

const titleOf = (map: FlowMap, { source, target }: FlowEdge) => `${endText(map, source)} → ${endText(map, target)}`

/** The map in words. */
function Connections({ map, onShow }: { map: FlowMap; onShow: (edge: FlowEdge) => void }) {
  return (
    <Card flush title={m.connections}>
      <Table
        label={m.connections}
        rows={map.edges}
        rowId={({ source, target }) => `${source}|${target}`}
        columns={[
          { id: 'from', header: m.begins, cell: ({ source }) => endText(map, source) },
          { id: 'to', header: m.ends, cell: ({ target }) => endText(map, target) },
          ...amounts,
          {
            ...actionsColumn,
            cell: (edge) => (
              <Button size="sm" aria-label={`${m.show}: ${titleOf(map, edge)}`} onPress={() => onShow(edge)}>
                {m.show}
              </Button>
            ),
          },
        ]}
      />
    </Card>
  )
}
