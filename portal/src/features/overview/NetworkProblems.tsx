import { ShieldCheck } from 'lucide-react'
import type { Machine } from '../../api/types.ts'
import { sortBy } from '../../domain/machineFilter.ts'
import { ResourceLink } from '../../parts/ResourceLink.tsx'
import { networkText, networkTone } from '../../parts/status.ts'
import { Badge } from '../../ui/Badge.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Table } from '../../ui/Table.tsx'
import { m } from './messages.ts'

const order: Partial<Record<Machine['network']['state'], number>> = { failed: 0, reverted: 1, pending: 2 }
const shownRows = 8

export function NetworkProblems({ machines }: { machines: Machine[] }) {
  const problems = machines.filter((machine) => order[machine.network.state] !== undefined)
  if (problems.length === 0)
    return <EmptyState tone="good" icon={<ShieldCheck size={20} aria-hidden />} title={m.networkNone} />
  return (
    <Table
      label={m.networkTitle}
      rows={sortBy(problems, (machine) => order[machine.network.state] ?? 9, false).slice(0, shownRows)}
      rowId={(machine) => machine.id}
      columns={[
        { id: 'machine', header: m.machine, cell: (machine) => <ResourceLink id={machine.id} tab="network" /> },
        {
          id: 'state',
          header: m.state,
          cell: (machine) => (
            <Badge tone={networkTone[machine.network.state]}>{networkText[machine.network.state]}</Badge>
          ),
        },
        {
          id: 'message',
          header: m.message,
          cell: (machine) => <span className="line-clamp-1 text-xs text-ink-2">{machine.network.message ?? '–'}</span>,
        },
      ]}
    />
  )
}
