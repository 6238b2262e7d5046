import { useInfiniteQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { History } from 'lucide-react'
import { useEffect, useRef } from 'react'
import { fleetQueries } from '../../api/queries/fleet.ts'
import type { MachineEvent } from '../../api/types.ts'
import { ago, dateTime } from '../../app/format.ts'
import { Badge } from '../../ui/Badge.tsx'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { ErrorNote } from '../../ui/ErrorNote.tsx'
import { Select } from '../../ui/Select.tsx'
import { Skeleton } from '../../ui/Skeleton.tsx'
import { eventDetails, eventKinds, eventName, eventTone, t } from './eventText.ts'

const route = getRouteApi('/shell/r/$')

export function TimelineTab({ id }: { id: string }) {
  const { kind, hours = 168 } = route.useSearch()
  const navigate = route.useNavigate()
  const set = (change: { kind?: string; hours?: number }) =>
    void navigate({ search: (old) => ({ ...old, ...change }), replace: true })
  const query = useInfiniteQuery(fleetQueries.events(id, { hours, kind }))
  return (
    <Card flush>
      <div className="flex flex-wrap items-center gap-2 border-b border-line px-3 py-2.5">
        <Select
          label={t.kind}
          hideLabel
          className="w-64"
          value={kind ?? 'all'}
          onChange={(next) => set({ kind: next === 'all' ? undefined : next })}
          options={[{ id: 'all', label: t.all }, ...eventKinds.map((item) => ({ id: item, label: eventName(item) }))]}
        />
        <Select
          label={t.time}
          hideLabel
          className="w-44"
          value={String(hours)}
          onChange={(next) => set({ hours: Number(next) })}
          options={[
            { id: '1', label: t.hour },
            { id: '24', label: t.day },
            { id: '168', label: t.week },
            { id: '2160', label: t.quarter },
          ]}
        />
      </div>
      {query.data === undefined ? (
        <div className="p-4">
          {query.error ? (
            <ErrorNote error={query.error} onRetry={() => void query.refetch()} />
          ) : (
            <Skeleton className="h-40" />
          )}
        </div>
      ) : (
        <Events
          events={query.data.pages.flatMap((page) => page.value)}
          onEnd={query.hasNextPage && !query.isFetching ? () => void query.fetchNextPage() : undefined}
        />
      )}
      {query.isFetchingNextPage && <Skeleton className="m-4 h-8" />}
    </Card>
  )
}

function Events({ events, onEnd }: { events: MachineEvent[]; onEnd: (() => void) | undefined }) {
  const end = useRef<HTMLLIElement>(null)
  useEffect(() => {
    if (!end.current || !onEnd) return
    const observer = new IntersectionObserver((seen) => {
      if (seen.some((item) => item.isIntersecting)) onEnd()
    })
    observer.observe(end.current)
    return () => observer.disconnect()
  }, [onEnd])
  if (events.length === 0 && !onEnd) return <EmptyState icon={<History size={20} aria-hidden />} title={t.none} />
  return (
    <ol aria-label={t.title} className="text-sm">
      {events.map(({ id, properties: { kind, eventTimestamp, data } }) => (
        <li key={id} className="flex items-start gap-3 border-b border-line/60 px-4 py-2 last:border-0 hover:bg-band">
          <time
            dateTime={eventTimestamp}
            title={dateTime(eventTimestamp)}
            className="tnum w-28 shrink-0 text-xs leading-5 whitespace-nowrap text-ink-2"
          >
            {ago(eventTimestamp)}
          </time>
          <div className="flex min-w-0 flex-col gap-1">
            <Badge tone={eventTone(kind)}>{eventName(kind)}</Badge>
            {eventDetails(kind, data).map((line) => (
              <p key={line} className="break-all text-ink-2">
                {line}
              </p>
            ))}
          </div>
        </li>
      ))}
      <li ref={end} aria-hidden className="h-px" />
    </ol>
  )
}
