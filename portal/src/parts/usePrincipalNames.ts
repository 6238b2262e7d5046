import { useQuery } from '@tanstack/react-query'
import { directoryQueries } from '../api/queries/directory.ts'

/** Names for principal ids; an id nobody may name stays an id. */
export function usePrincipalNames() {
  const { data: principals = [], isPending } = useQuery(directoryQueries.principals())
  const byId = new Map(principals.map((principal) => [principal.id, principal]))
  return { principals, isPending, find: (id: string) => byId.get(id), nameOf: (id: string) => byId.get(id)?.name ?? id }
}
