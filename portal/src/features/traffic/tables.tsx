import type { TrafficAmount, TrafficFlow, TrafficView } from '../../api/types.ts'
import { bytes, num } from '../../app/format.ts'
import { When } from '../../parts/When.tsx'
import { Badge } from '../../ui/Badge.tsx'
import { Card } from '../../ui/Card.tsx'
import { Table, type TableColumn } from '../../ui/Table.tsx'
import { m } from './messages.ts'

/** What flows look like in tables, wherever they are shown. */

export function Rules({ rows }: { rows: TrafficView['rules'] }) {
  return (
    <Card flush title={m.byRule}>
      <Table
        label={m.byRule}
        rows={rows}
        rowId={({ rule }) => (rule ? `${rule.networkSecurityGroupId}/${rule.name}` : '')}
        columns={[{ id: 'rule', header: m.rule, cell: ({ rule }) => rule?.name ?? m.noRule }, ...amounts]}
      />
    </Card>
  )
}

export function Processes({ rows }: { rows: TrafficView['processes'] }) {
  return (
    <Card flush title={m.byProcess}>
      <Table
        label={m.byProcess}
        rows={rows}
        rowId={({ process }) => (process ? JSON.stringify(process) : '')}
        columns={[
          { id: 'process', header: m.process, cell: ({ process }) => processText(process) },
          { id: 'unit', header: m.unit, cell: ({ process }) => process?.unit ?? '–' },
          { id: 'package', header: m.package, cell: ({ process }) => process?.package ?? '–' },
          ...amounts,
        ]}
      />
    </Card>
  )
}

export function Records({ rows }: { rows: TrafficFlow[] }) {
  return (
    <Card flush title={m.flows}>
      <Table
        label={m.flows}
        rows={rows.map((flow, at) => ({ ...flow, place: at }))}
        rowId={(row) => String(row.place)}
        columns={records}
      />
    </Card>
  )
}

const processText = (process: TrafficFlow['process']) =>
  process ? process.name || process.user : <span className="text-ink-2">{m.unknownProcess}</span>

export function Mono({ text }: { text: string }) {
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

export const amounts: TableColumn<TrafficAmount>[] = [
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
