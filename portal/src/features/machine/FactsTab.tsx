import { getRouteApi, Link } from '@tanstack/react-router'
import { PackageOpen } from 'lucide-react'
import { useDeferredValue, useState } from 'react'
import type { Facts } from '../../api/types.ts'
import { num } from '../../app/format.ts'
import { Card } from '../../ui/Card.tsx'
import { cx } from '../../ui/cx.ts'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { SearchField } from '../../ui/SearchField.tsx'
import { Table } from '../../ui/Table.tsx'
import { type FactList, factList, factListIds, isFactListId } from './factLists.ts'
import { m } from './messages.ts'

const route = getRouteApi('/shell/r/$')
const shownRows = 300

export function FactsTab({ facts }: { facts: Partial<Facts> | undefined }) {
  const { view } = route.useSearch()
  const current = isFactListId(view) ? view : 'sockets'
  if (!facts) return <EmptyState icon={<PackageOpen size={20} aria-hidden />} title={m.noFacts} />
  const list = factList(current, facts)
  return (
    <div className="grid gap-4 lg:grid-cols-[200px_1fr]">
      <nav aria-label={m.facts}>
        <ul className="flex flex-col gap-px">
          {factListIds.map((id) => (
            <li key={id}>
              <Link
                from="/r/$"
                to="."
                search={{ view: id }}
                aria-current={id === current ? 'page' : undefined}
                className={cx(
                  'flex items-center justify-between rounded-md px-2.5 py-1.5 text-sm',
                  id === current
                    ? 'bg-accent-soft font-medium text-accent'
                    : 'text-ink-2 hover:bg-sunken hover:text-ink',
                )}
              >
                {m[id]}
                <span className="tnum text-xs">{num(factList(id, facts).rows.length)}</span>
              </Link>
            </li>
          ))}
        </ul>
      </nav>
      <FactTable key={current} list={list} />
    </div>
  )
}

function FactTable({ list }: { list: FactList }) {
  const [query, setQuery] = useState('')
  const needle = useDeferredValue(query.toLowerCase())
  const rows = list.rows.filter((row) => row.cells.some((cell) => cell.toLowerCase().includes(needle)))
  return (
    <Card
      flush
      title={m[list.id]}
      actions={<SearchField label={m.find} value={query} onChange={setQuery} className="w-56" />}
    >
      {rows.length === 0 ? (
        <EmptyState title={m.nothing} />
      ) : (
        <Table<FactList['rows'][number]>
          label={m[list.id]}
          rows={rows.slice(0, shownRows)}
          rowId={(row) => row.id}
          columns={list.headers.map((header, index) => ({
            id: header,
            header,
            cell: (row) => (
              <span className={cx('break-all', list.mono.includes(index) && 'font-mono text-xs')}>
                {row.cells[index]}
              </span>
            ),
          }))}
        />
      )}
      {rows.length > shownRows && <p className="px-4 py-2.5 text-xs text-ink-2">{m.more(rows.length - shownRows)}</p>}
    </Card>
  )
}
