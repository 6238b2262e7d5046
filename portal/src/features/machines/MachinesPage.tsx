import { useQuery } from '@tanstack/react-query'
import { getRouteApi, useNavigate } from '@tanstack/react-router'
import { Plus, Server } from 'lucide-react'
import { useCallback, useEffect, useEffectEvent, useMemo, useState } from 'react'
import { fleetQueries } from '../../api/queries/fleet.ts'
import type { Machine } from '../../api/types.ts'
import { inGroup, useScope } from '../../app/scope.ts'
import { filterMachines, formatTerm, parseTerms, sortBy, type Term } from '../../domain/machineFilter.ts'
import { ConnectPanel } from '../../parts/ConnectPanel.tsx'
import { Section } from '../../parts/Section.tsx'
import { Button } from '../../ui/Button.tsx'
import { DataGrid } from '../../ui/DataGrid.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Page } from '../../ui/Page.tsx'
import { ColumnChooser } from './ColumnChooser.tsx'
import { machineColumns } from './columns.tsx'
import { FilterBar } from './FilterBar.tsx'
import { m } from './messages.ts'

const route = getRouteApi('/shell/machines')
const urlAfterMs = 250

export default function MachinesPage() {
  const { subscriptionId, resourceGroup } = useScope()
  const { connect } = route.useSearch()
  const navigate = route.useNavigate()
  const machines = useQuery(fleetQueries.machines(subscriptionId))
  const setConnect = (on: boolean) =>
    void navigate({ search: (old) => ({ ...old, connect: on || undefined }), replace: true })
  const connectButton = (
    <Button variant="primary" onPress={() => setConnect(true)}>
      <Plus size={14} aria-hidden />
      {m.connect}
    </Button>
  )
  return (
    <>
      <Section query={machines} skeleton="h-[70vh]">
        {(all) => {
          const isInScope = (machine: Machine) => inGroup(resourceGroup, machine.resourceGroup)
          if (all.some(isInScope)) {
            return <MachineGrid all={all} readAtMs={machines.dataUpdatedAt} actions={connectButton} />
          }
          return (
            <Page title={m.title}>
              <EmptyState icon={<Server size={20} aria-hidden />} title={m.noMachines} action={connectButton}>
                {m.noMachinesWhy}
              </EmptyState>
            </Page>
          )
        }}
      </Section>
      {connect && <ConnectPanel onClose={() => setConnect(false)} />}
    </>
  )
}

type GridProps = { all: Machine[]; readAtMs: number; actions: React.ReactNode }

function MachineGrid({ all, readAtMs, actions }: GridProps) {
  const { resourceGroup } = useScope()
  const machines = useMemo(
    () => all.filter((machine) => inGroup(resourceGroup, machine.resourceGroup)),
    [all, resourceGroup],
  )
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const open = useNavigate()
  const set = (change: Partial<typeof search>) =>
    void navigate({ search: (old) => ({ ...old, ...change }), replace: true })
  // The field keeps its own text: rows follow each key at once, the URL when the typing pauses.
  const [query, setQuery] = useState(search.q ?? '')
  const noteQuery = useEffectEvent((text: string) => {
    if (text !== (search.q ?? '')) set({ q: text || undefined })
  })
  useEffect(() => {
    const timer = setTimeout(() => noteQuery(query), urlAfterMs)
    return () => clearTimeout(timer)
  }, [query])

  const setTerms = useCallback(
    (next: Term[]) =>
      void navigate({
        search: (old) => ({ ...old, f: next.length > 0 ? next.map(formatTerm) : undefined }),
        replace: true,
      }),
    [navigate],
  )
  const termsText = search.f?.join('\n') ?? ''
  const terms = useMemo(() => parseTerms(termsText.split('\n')), [termsText])
  const columns = useMemo(() => machineColumns(readAtMs), [readAtMs])
  const shownText =
    search.cols?.join() ??
    columns
      .filter((column) => column.initial)
      .map((column) => column.id)
      .join()
  const shown = useMemo(() => shownText.split(','), [shownText])
  const visible = useMemo(
    () => columns.filter((column) => shown.includes(column.id)).map((column) => ({ ...column, sortable: true })),
    [columns, shown],
  )
  const sort = { id: search.sort ?? 'name', desc: search.desc ?? false }

  // Filtering keeps the order, so that a key does not sort anything.
  const ordered = useMemo(() => {
    const column = columns.find((item) => item.id === sort.id)
    return column ? sortBy(machines, column.key, sort.desc) : machines
  }, [machines, columns, sort.id, sort.desc])
  const { rows, facets } = useMemo(() => filterMachines(ordered, query, terms), [ordered, query, terms])

  const clear = () => {
    setQuery('')
    set({ q: undefined, f: undefined })
  }
  return (
    <Page fill title={m.title} subtitle={m.shown(rows.length, machines.length)} actions={actions}>
      <section
        aria-label={m.title}
        className="flex min-h-0 flex-1 flex-col rounded-xl border border-line bg-surface shadow-card"
      >
        <FilterBar
          query={query}
          onQuery={setQuery}
          terms={terms}
          onTerms={setTerms}
          facets={facets}
          trailing={<ColumnChooser columns={columns} shown={shown} onChange={(cols) => set({ cols })} />}
        />
        <DataGrid
          label={m.title}
          rows={rows}
          columns={visible}
          sort={sort}
          onSort={(next) => set({ sort: next.id, desc: next.desc || undefined })}
          onOpen={(row) => void open({ to: '/r/$', params: { _splat: row.id.slice(1) } })}
          empty={<EmptyState title={m.noMatch} action={<Button onPress={clear}>{m.clear}</Button>} />}
        />
      </section>
    </Page>
  )
}
