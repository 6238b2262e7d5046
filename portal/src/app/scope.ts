import { useSuspenseQuery } from '@tanstack/react-query'
import { useSearch } from '@tanstack/react-router'
import { authQueries } from '../api/queries/auth.ts'

/** Where the person is looking. The URL holds it (`?sub=&rg=`), so a shared link shows the same thing. */
export function useScope() {
  const { data: session } = useSuspenseQuery(authQueries.session())
  const search: { sub?: string; rg?: string } = useSearch({ strict: false })
  const chosen = session.subscriptions.find((item) => item.subscriptionId === search.sub) ?? session.subscriptions[0]
  return { session, subscription: chosen, subscriptionId: chosen?.id ?? '', resourceGroup: search.rg }
}

export const inGroup = (resourceGroup: string | undefined, name: string | undefined) =>
  resourceGroup === undefined || name?.toLowerCase() === resourceGroup.toLowerCase()
