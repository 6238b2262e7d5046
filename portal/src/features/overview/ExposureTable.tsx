import { Link } from '@tanstack/react-router'
import { ShieldCheck } from 'lucide-react'
import type { Machine } from '../../api/types.ts'
import { num } from '../../app/format.ts'
import { sameId } from '../../domain/armId.ts'
import type { Exposure } from '../../domain/exposure.ts'
import { ResourceLink } from '../../parts/ResourceLink.tsx'
import { Badge } from '../../ui/Badge.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Table } from '../../ui/Table.tsx'
import { m } from './messages.ts'

const shownRows = 8
const shownPorts = 4

export function ExposureTable({ exposures, machines }: { exposures: Exposure[]; machines: Machine[] }) {
  if (exposures.length === 0)
    return <EmptyState tone="good" icon={<ShieldCheck size={20} aria-hidden />} title={m.exposureNone} />
  const guarded = (id: string) => machines.filter((machine) => machine.nsgs.some((nsg) => sameId(nsg, id))).length
  const rows = exposures
    .map((exposure) => ({ ...exposure, machines: guarded(exposure.group.id) }))
    .toSorted((a, b) => b.machines - a.machines)
    .slice(0, shownRows)
  return (
    <Table
      label={m.exposureTitle}
      rows={rows}
      rowId={({ group, rule }) => `${group.id}/${rule.name}`}
      columns={[
        {
          id: 'rule',
          header: m.rule,
          cell: ({ group, rule }) => (
            <ResourceLink id={group.id} rule={rule.name}>
              {rule.name}
            </ResourceLink>
          ),
        },
        { id: 'group', header: m.group, cell: ({ group }) => <ResourceLink id={group.id} className="text-ink-2" /> },
        {
          id: 'ports',
          header: m.ports,
          cell: ({ ports }) => (
            <span className="flex flex-wrap items-center gap-1">
              {ports.slice(0, shownPorts).map((port) => (
                <Badge key={port} tone="crit">
                  {port}
                </Badge>
              ))}
              {ports.length > shownPorts && (
                <span className="text-xs text-ink-2">{m.morePorts(ports.length - shownPorts)}</span>
              )}
            </span>
          ),
        },
        {
          id: 'machines',
          header: m.machines,
          align: 'right',
          cell: ({ group, machines: count }) => (
            <Link
              to="/machines"
              search={{ f: [`nsg:${group.name.toLowerCase()}`] }}
              className="tnum hover:text-accent hover:underline"
            >
              {num(count)}
            </Link>
          ),
        },
      ]}
    />
  )
}
