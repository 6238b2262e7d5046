import { useQuery } from '@tanstack/react-query'
import { Activity } from 'lucide-react'
import { useState } from 'react'
import { trafficQueries } from '../../api/queries/traffic.ts'
import type { TrafficAmount, TrafficFlow, TrafficView, VirtualMachine } from '../../api/types.ts'
import { bytes, dateTime, num } from '../../app/format.ts'
import { useScope } from '../../app/scope.ts'
import { Section } from '../../parts/Section.tsx'
import { When } from '../../parts/When.tsx'
import { Badge } from '../../ui/Badge.tsx'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Segments } from '../../ui/Segments.tsx'
import { Skeleton } from '../../ui/Skeleton.tsx'
import { Table, type TableColumn } from '../../ui/Table.tsx'
import { FlowLogsCard } from './FlowLogsCard.tsx'
import { m } from './messages.ts'

const spans = ['15', '60', '1440'] as const
const kinds = ['all', 'Allow', 'Deny'] as const

/** What the flow logs of a machine have to tell, and whether there are any. */
export default function TrafficTab({ machine }: { machine: VirtualMachine }) {
  const { subscriptionId } = useScope()
  const logs = useQuery(trafficQueries.logs(subscriptionId))
  const [span, setSpan] = useState<(typeof spans)[number]>('60')
  const [kind, setKind] = useState<(typeof kinds)[number]>('all')
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
      <div className="flex flex-wrap gap-3">
        <Segments
          label={m.time}
          hideLabel
          value={span}
          onChange={setSpan}
          options={[
            { id: '15', label: m.last15 },
            { id: '60', label: m.last60 },
            { id: '1440', label: m.lastDay },
          ]}
        />
        <Segments
          label={m.which}
          hideLabel
          value={kind}
          onChange={setKind}
          options={[
            { id: 'all', label: m.all },
            { id: 'Allow', label: m.allowed },
            { id: 'Deny', label: m.denied },
          ]}
        />
      </div>
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
      <Card flush title={m.byRule}>
        <Table
          label={m.byRule}
          rows={view.rules}
          rowId={({ rule }) => (rule ? `${rule.networkSecurityGroupId}/${rule.name}` : '')}
          columns={[{ id: 'rule', header: m.rule, cell: ({ rule }) => rule?.name ?? m.noRule }, ...amounts]}
        />
      </Card>
      <Card flush title={m.byProcess}>
        <Table
          label={m.byProcess}
          rows={view.processes}
          rowId={({ process }) => (process ? JSON.stringify(process) : '')}
          columns={[
            { id: 'process', header: m.process, cell: ({ process }) => processText(process) },
            { id: 'unit', header: m.unit, cell: ({ process }) => process?.unit ?? '–' },
            { id: 'package', header: m.package, cell: ({ process }) => process?.package ?? '–' },
            ...amounts,
          ]}
        />
      </Card>
      <Card flush title={m.flows}>
        <Table
          label={m.flows}
          rows={view.flows.map((flow, at) => ({ ...flow, place: at }))}
          rowId={(row) => String(row.place)}
          columns={records}
        />
      </Card>
    </>
  )
}

const processText = (process: TrafficFlow['process']) =>
  process ? process.name || process.user : <span className="text-ink-2">{m.unknownProcess}</span>

function Mono({ text }: { text: string }) {
  return <span className="font-mono text-xs">{text}</span>
}

const amount = (id: string, header: () => string, show: (row: TrafficAmount) => string) => ({
  id,
  get header() {
    return header()
  },
  align: 'right' as const,
  cell: (row: TrafficAmount) => <span className="tnum">{show(row)}</span>,
})

const amounts: TableColumn<TrafficAmount>[] = [
  amount(
    'allowed',
    () => m.begun,
    (row) => num(row.allowed),
  ),
  amount(
    'denied',
    () => m.deniedPackets,
    (row) => num(row.denied),
  ),
  amount(
    'sent',
    () => m.sent,
    (row) => bytes(row.bytesSent),
  ),
  amount(
    'received',
    () => m.received,
    (row) => bytes(row.bytesReceived),
  ),
]

const stateText = (state: string) => ({ B: m.begins, C: m.continues, E: m.ends, D: m.denied })[state] ?? state
const end = (address: string, port: number) => (port === 0 ? address : `${address}:${port}`)

const records: TableColumn<TrafficFlow>[] = [
  {
    id: 'when',
    get header() {
      return m.when
    },
    cell: (row) => <When iso={row.at} />,
  },
  {
    id: 'state',
    get header() {
      return m.state
    },
    cell: (row) => (
      <span className="inline-flex items-center gap-1.5">
        <Badge tone={row.state === 'D' ? 'crit' : 'low'}>{stateText(row.state)}</Badge>
        {row.count > 1 && <span className="tnum text-xs">{m.times(row.count)}</span>}
      </span>
    ),
  },
  {
    id: 'from',
    get header() {
      return m.from
    },
    cell: (row) => <Mono text={end(row.sourceAddress, row.sourcePort)} />,
  },
  {
    id: 'to',
    get header() {
      return m.to
    },
    cell: (row) => <Mono text={end(row.destinationAddress, row.destinationPort)} />,
  },
  {
    id: 'rule',
    get header() {
      return m.rule
    },
    cell: (row) => row.rule?.name ?? m.noRule,
  },
  {
    id: 'process',
    get header() {
      return m.process
    },
    cell: (row) => processText(row.process),
  },
]

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
