import { useQuery } from '@tanstack/react-query'
import { Activity } from 'lucide-react'
import { useState } from 'react'
import { trafficQueries } from '../../api/queries/traffic.ts'
import type { TrafficView, VirtualMachine } from '../../api/types.ts'
import { dateTime } from '../../app/format.ts'
import { useScope } from '../../app/scope.ts'
import { Section } from '../../parts/Section.tsx'
import { Badge } from '../../ui/Badge.tsx'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Skeleton } from '../../ui/Skeleton.tsx'
import { Table } from '../../ui/Table.tsx'
import { FlowLogsCard } from './FlowLogsCard.tsx'
import { m } from './messages.ts'
import { FilterBar, type Kind, type Span } from './FilterBar.tsx'
import { amounts, Mono, Processes, Records, Rules } from './tables.tsx'

/** What the flow logs of a machine have to tell, and whether there are any. */
export default function TrafficTab({ machine }: { machine: VirtualMachine }) {
  const { subscriptionId } = useScope()
  const logs = useQuery(trafficQueries.logs(subscriptionId))
  const [span, setSpan] = useState<Span>('60')
  const [kind, setKind] = useState<Kind>('all')
  const access = kind === 'all' ? undefined : kind
  const query = useQuery(trafficQueries.of(machine.id, { minutes: Number(span), access }))
  // Everything below the card would move when its height is known.
  if (logs.isPending) {
    return (
      <div aria-busy>
        <Skeleton className="h-96" />
      </div>
    )
  }
  return (
    <>
      <FlowLogsCard machine={machine} query={logs} />
      <FilterBar span={span} onSpan={setSpan} kind={kind} onKind={setKind} />
      <Section query={query} skeleton="h-96">
        {(view) => <View view={view} />}
      </Section>
    </>
  )
}

function View({ view }: { view: TrafficView }) {
  if (view.flows.length === 0 && view.gaps.length === 0) {
    return <EmptyState icon={<Activity size={20} aria-hidden />} title={m.none} />
  }
  return (
    <>
      {!view.isAll && <p className="text-sm text-ink-2">{m.notAll}</p>}
      {view.gaps.length > 0 && <Badge tone="med">{m.gaps(view.gaps.length)}</Badge>}
      <Card title={m.overTime}>
        <Bars view={view} />
      </Card>
      <Card flush title={m.talkers}>
        <Table
          label={m.talkers}
          rows={view.talkers}
          rowId={(row) => row.address}
          columns={[{ id: 'address', header: m.address, cell: (row) => <Mono text={row.address} /> }, ...amounts]}
        />
      </Card>
      <Rules rows={view.rules} />
      <Processes rows={view.processes} />
      <Records rows={view.flows} />
    </>
  )
}

/** A bar for each part of the time: what was allowed below, what was denied above it. */
function Bars({ view }: { view: TrafficView }) {
  const highest = Math.max(1, ...view.overTime.map((part) => part.allowed + part.denied))
  const height = (count: number) => `${(count / highest) * 100}%`
  return (
    <ol aria-label={m.overTime} className="flex h-28 items-end gap-px">
      {view.overTime.map((part) => {
        const text = m.bar(dateTime(part.from), part.allowed, part.denied)
        return (
          <li key={part.from} title={text} className="flex h-full flex-1 flex-col justify-end bg-band">
            <span className="sr-only">{text}</span>
            <span aria-hidden className="block bg-crit" style={{ height: height(part.denied) }} />
            <span aria-hidden className="block bg-accent" style={{ height: height(part.allowed) }} />
          </li>
        )
      })}
    </ol>
  )
}
