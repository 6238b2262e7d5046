import { queryOptions } from '@tanstack/react-query'
import { armUrl } from '../arm.ts'
import { get } from '../client.ts'
import { types } from '../keys.ts'
import type { ActivityLog, EntryProof } from '../types.ts'

const log = (subscription: string) => `${subscription}/providers/Sekisho.Audit/logs/activity`

export const logQueries = {
  standing: (subscription: string) =>
    queryOptions({
      queryKey: [types.log, subscription],
      // Machines see more of it with every sign of life.
      refetchInterval: 30_000,
      queryFn: ({ signal }) => get<ActivityLog>(armUrl(log(subscription), 'sekisho.audit'), signal),
    }),
  proof: (subscription: string, sequence: string) =>
    queryOptions({
      queryKey: [types.log, subscription, sequence],
      queryFn: ({ signal }) =>
        get<EntryProof>(armUrl(`${log(subscription)}/proofs/${sequence}`, 'sekisho.audit'), signal),
    }),
}
