import { useInfiniteQuery } from '@tanstack/react-query'
import { History } from 'lucide-react'
import { lazy, Suspense, useState } from 'react'
import { type ActivityFilter, activityQuery } from '../api/queries/activity.ts'
import type { ActivityEvent } from '../api/types.ts'
import { messages } from '../app/i18n.ts'
import { useScope } from '../app/scope.ts'
import { Button } from '../ui/Button.tsx'
import { EmptyState } from '../ui/EmptyState.tsx'
import { ErrorNote } from '../ui/ErrorNote.tsx'
import { Skeleton } from '../ui/Skeleton.tsx'
import { ActivityTable } from './ActivityTable.tsx'
import { usePrincipalNames } from './usePrincipalNames.ts'

/** Opened by a click: no part of what a page needs at first. */
const EventPanel = lazy(() => import('./EventPanel.tsx'))

const m = messages({
  none: { en: 'Nothing happened in this time.', ja: 'この期間の操作はありません。' },
  more: { en: 'Load older entries', ja: '以前のエントリを読み込む' },
})

type Props = {
  filter: ActivityFilter
  keep?: (event: ActivityEvent) => boolean
  limit?: number
  withoutResource?: boolean
}

export function ActivitySection({ filter, keep = () => true, limit, withoutResource }: Props) {
  const { subscriptionId } = useScope()
  const query = useInfiniteQuery(activityQuery(subscriptionId, filter))
  const [open, setOpen] = useState<ActivityEvent>()
  // The columns are as wide as what stands in them: names that come later would move them.
  const { isPending } = usePrincipalNames()
  if (query.data === undefined || isPending) {
    return (
      <div className="p-4" aria-busy={!query.error}>
        {query.error ? (
          <ErrorNote error={query.error} onRetry={() => void query.refetch()} />
        ) : (
          <Skeleton className="h-40" />
        )}
      </div>
    )
  }
  const events = query.data.pages.flatMap((page) => page.value).filter(keep)
  return (
    <>
      {events.length === 0 ? (
        <EmptyState icon={<History size={20} aria-hidden />} title={m.none} />
      ) : (
        <ActivityTable
          events={limit ? events.slice(0, limit) : events}
          onOpen={setOpen}
          withoutResource={withoutResource}
        />
      )}
      {!limit && query.hasNextPage && (
        <div className="flex justify-center p-3">
          <Button isPending={query.isFetchingNextPage} onPress={() => void query.fetchNextPage()}>
            {m.more}
          </Button>
        </div>
      )}
      {open && (
        <Suspense>
          <EventPanel event={open} onClose={() => setOpen(undefined)} />
        </Suspense>
      )}
    </>
  )
}
