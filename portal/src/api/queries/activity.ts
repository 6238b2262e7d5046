import { infiniteQueryOptions } from '@tanstack/react-query'
import { armUrl } from '../arm.ts'
import { get, nextPage } from '../client.ts'
import { types } from '../keys.ts'
import type { ActivityEvent, List } from '../types.ts'

export type ActivityFilter = { hours: number; resourceGroup?: string; resourceId?: string }

const quote = (text: string) => `'${text.replaceAll("'", "''")}'`

/** The time window is fixed when the query runs, so paging through nextLink stays within one window. */
export const activityQuery = (subscription: string, filter: ActivityFilter) =>
  infiniteQueryOptions({
    queryKey: [types.activity, subscription, filter],
    initialPageParam: '',
    queryFn: ({ pageParam, signal }) => {
      if (pageParam) return nextPage<ActivityEvent>(pageParam, signal)
      const now = Date.now()
      const from = new Date(now - filter.hours * 3_600_000).toISOString()
      const parts = [
        `eventTimestamp ge ${quote(from)}`,
        `eventTimestamp le ${quote(new Date(now + 60_000).toISOString())}`,
        ...(filter.resourceGroup ? [`resourceGroupName eq ${quote(filter.resourceGroup)}`] : []),
        ...(filter.resourceId ? [`resourceUri eq ${quote(filter.resourceId)}`] : []),
      ]
      const path = `${subscription}/providers/Microsoft.Insights/eventtypes/management/values`
      return get<List<ActivityEvent>>(armUrl(path, 'microsoft.insights', { $filter: parts.join(' and ') }), signal)
    },
    getNextPageParam: (page) => page.nextLink,
  })
