import { useQuery } from '@tanstack/react-query'
import { useEffect } from 'react'
import { fleetQueries } from '../api/queries/fleet.ts'
import { followMachines } from './operations.ts'

/** Live events make the list ask again, that of thousands rarely; somebody who waits for them asks more often. */
const atLeastEveryMs = 5_000

/** While an operation waits for machines, what they report is looked at. */
export default function FollowMachines({ subscriptionId }: { subscriptionId: string }) {
  const { data, dataUpdatedAt } = useQuery({
    ...fleetQueries.machines(subscriptionId),
    refetchInterval: atLeastEveryMs,
  })
  useEffect(() => {
    if (data) followMachines(subscriptionId, data, dataUpdatedAt)
  }, [subscriptionId, data, dataUpdatedAt])
  return null
}
