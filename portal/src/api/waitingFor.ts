import type { QueryClient } from '@tanstack/react-query'
import { approversOf, asked, isUndecidedBy } from '../domain/access.ts'
import { explain, groupsAmong } from './queries/authorization.ts'
import { jitQueries } from './queries/jit.ts'

const approve = 'Microsoft.Security/locations/jitNetworkAccessPolicies/approve/action'

/**
 * The ids of the requests that wait for a person, as the server decides who may say yes: by a right at the policy and, where it
 * names one, by its group. The list is that of the page of just-in-time access; nothing else is asked unless somebody else's
 * request waits. It fails when any answer is missing: a list that is too short would be believed.
 */
export async function waitingFor(client: QueryClient, subscription: string, person: string) {
  const undecided = asked(await client.fetchQuery(jitQueries.policies(subscription))).filter((item) =>
    isUndecidedBy(item, person),
  )
  const policies = [...new Set(undecided.map(({ policy }) => policy))]
  const groups = [...new Set(policies.flatMap((policy) => approversOf(policy) ?? []))]
  const [theirs, rights] = await Promise.all([
    groups.length > 0 ? groupsAmong(groups, person) : new Set<string>(),
    Promise.all(policies.map(({ id }) => explain(id, person, approve))),
  ])
  const deciding = policies.filter((policy, at) => {
    const group = approversOf(policy)?.toLowerCase()
    return rights[at]?.allowed && (group === undefined || theirs.has(group))
  })
  return undecided.filter(({ policy }) => deciding.includes(policy)).map(({ request }) => request.sekisho.id)
}
