import type { Machine } from '../../api/types.ts'
import { ago, bytes, num } from '../../app/format.ts'
import { nameOf } from '../../domain/armId.ts'
import type { SortKey } from '../../domain/machineFilter.ts'
import { RowLink } from '../../parts/RowLink.tsx'
import { networkText, networkTone, statusText, statusTone } from '../../parts/status.ts'
import { Badge } from '../../ui/Badge.tsx'
import type { GridColumn } from '../../ui/DataGrid.tsx'
import { Dot } from '../../ui/Dot.tsx'
import { m } from './messages.ts'

export type MachineColumn = GridColumn<Machine> & { key: (machine: Machine) => SortKey; initial: boolean }

const statusOrder = { duplicate: 0, offline: 1, stale: 2, online: 3 }
const networkOrder = { failed: 0, reverted: 1, pending: 2, none: 3, applied: 4 }

/** 10.0.0.9 sorts before 10.0.0.10. */
const addressKey = (address = '') => address.replace(/\d+/g, (digits) => digits.padStart(5, '0'))

function addresses({ addresses: [first, ...more] }: Machine) {
  return (
    <span className="font-mono text-xs" title={[first, ...more].join('\n')}>
      {first ?? '–'}
      {more.length > 0 && <span className="text-ink-3"> +{num(more.length)}</span>}
    </span>
  )
}

function groups({ nsgs }: Machine) {
  const [first, ...more] = nsgs
  if (!first) return <Badge tone="med">{m.none}</Badge>
  return (
    <span title={nsgs.map(nameOf).join('\n')}>
      {nameOf(first)}
      {more.length > 0 && <span className="text-ink-3"> +{num(more.length)}</span>}
    </span>
  )
}

const muted = (text: string) => <span className="text-ink-2">{text}</span>

/** `nowMs` is when the rows were read: ages are told of that moment. */
export function machineColumns(nowMs: number): MachineColumn[] {
  return [
    {
      id: 'name',
      header: m.name,
      width: 200,
      grow: 1.6,
      initial: true,
      key: (row) => row.name,
      cell: (row) => (
        <span className="flex items-center gap-2">
          <Dot tone={statusTone[row.status]} />
          <RowLink id={row.id} />
        </span>
      ),
    },
    {
      id: 'status',
      header: m.status,
      width: 104,
      initial: true,
      key: (row) => statusOrder[row.status],
      cell: (row) => statusText[row.status],
    },
    {
      id: 'addresses',
      header: m.addresses,
      width: 148,
      initial: true,
      key: (row) => addressKey(row.addresses[0]),
      cell: addresses,
    },
    {
      id: 'network',
      header: m.network,
      width: 132,
      initial: true,
      key: (row) => networkOrder[row.network.state],
      cell: (row) => <Badge tone={networkTone[row.network.state]}>{networkText[row.network.state]}</Badge>,
    },
    {
      id: 'nsg',
      header: m.nsg,
      width: 150,
      grow: 1,
      initial: true,
      key: (row) => nameOf(row.nsgs[0] ?? ''),
      cell: groups,
    },
    {
      id: 'os',
      header: m.os,
      width: 156,
      initial: true,
      key: (row) => row.os.prettyName,
      // "Debian GNU/Linux 12 (bookworm)" without the nickname.
      cell: (row) => row.os.prettyName?.replace(/ \([^)]*\)$/, ''),
    },
    {
      id: 'group',
      header: m.group,
      width: 130,
      grow: 1,
      initial: true,
      key: (row) => row.resourceGroup,
      cell: (row) => muted(row.resourceGroup),
    },
    {
      id: 'location',
      header: m.location,
      width: 120,
      initial: false,
      key: (row) => row.location,
      cell: (row) => muted(row.location),
    },
    {
      id: 'kernel',
      header: m.kernel,
      width: 170,
      initial: false,
      key: (row) => row.kernel,
      cell: (row) => <span className="font-mono text-xs">{row.kernel}</span>,
    },
    {
      id: 'cpus',
      header: m.cpus,
      width: 84,
      align: 'right',
      initial: false,
      key: (row) => row.cpus,
      cell: (row) => row.cpus !== null && num(row.cpus),
    },
    {
      id: 'memory',
      header: m.memory,
      width: 96,
      align: 'right',
      initial: false,
      key: (row) => row.memoryBytes,
      cell: (row) => row.memoryBytes !== null && bytes(row.memoryBytes),
    },
    {
      id: 'agent',
      header: m.agent,
      width: 104,
      initial: false,
      key: (row) => row.agentVersion,
      cell: (row) => muted(row.agentVersion),
    },
    {
      id: 'tags',
      header: m.tags,
      width: 140,
      grow: 1,
      initial: false,
      key: (row) => Object.entries(row.tags).flat().join(),
      cell: (row) =>
        muted(
          Object.entries(row.tags)
            .map((pair) => pair.join('='))
            .join(', '),
        ),
    },
    {
      id: 'seen',
      header: m.seen,
      width: 108,
      align: 'right',
      initial: true,
      key: (row) => -Date.parse(row.lastReportAt ?? '1970-01-01T00:00:00Z'),
      cell: (row) => (
        <span className="tnum text-xs text-ink-2">{row.lastReportAt ? ago(row.lastReportAt, nowMs) : m.never}</span>
      ),
    },
  ]
}
