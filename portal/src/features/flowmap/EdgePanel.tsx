import { useQuery } from '@tanstack/react-query'
import { type FlowMapFilter, trafficQueries } from '../../api/queries/traffic.ts'
import type { FlowEdge } from '../../api/types.ts'
import { Section } from '../../parts/Section.tsx'
import { Card } from '../../ui/Card.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { Table } from '../../ui/Table.tsx'
import { amounts, Processes, Records, Rules } from '../traffic/tables.tsx'
import { m } from './messages.ts'

type Props = { scope: string; filter: FlowMapFilter; edge: FlowEdge; title: string; onClose: () => void }

/** What is behind a connection of the map. */
export function EdgePanel({ scope, filter, edge, title, onClose }: Props) {
  const query = useQuery(trafficQueries.edge(scope, filter, edge.source, edge.target))
  return (
    <SidePanel wide title={title} onClose={onClose}>
      <Section query={query} skeleton="h-96">
        {(view) => (
          <div className="flex flex-col gap-4">
            <Rules rows={view.rules} />
            <Card flush title={m.byPort}>
              <Table
                label={m.byPort}
                rows={view.ports}
                rowId={({ protocol, port }) => `${protocol}/${port}`}
                columns={[
                  {
                    id: 'port',
                    header: m.port,
                    cell: ({ protocol, port }) => <span className="tnum">{portText(protocol, port)}</span>,
                  },
                  ...amounts,
                ]}
              />
            </Card>
            <Processes rows={view.processes} />
            <Records rows={view.flows} />
          </div>
        )}
      </Section>
    </SidePanel>
  )
}

const names: Record<number, string> = { 1: 'ICMP', 6: 'TCP', 17: 'UDP', 58: 'ICMPv6' }

function portText(protocol: number, port: number) {
  const name = names[protocol] ?? String(protocol)
  return port === 0 ? name : `${name} ${port}`
}
