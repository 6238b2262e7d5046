import { useQuery } from '@tanstack/react-query'
import { authorizationQueries } from '../api/queries/authorization.ts'
import { directoryQueries } from '../api/queries/directory.ts'
import type { ResourceChange } from '../api/writes.ts'
import { useScope } from '../app/scope.ts'
import { nameOf } from '../domain/armId.ts'

const isAssignment = ({ resourceId }: ResourceChange) => /\/roleassignments\//i.test(resourceId)

/** Roles and principals stand in changes by their ids; people know them by their names. */
export function useIdNames(changes: ResourceChange[]) {
  const { subscriptionId } = useScope()
  const enabled = changes.some(isAssignment) && subscriptionId !== ''
  const { data: roles = [] } = useQuery({ ...authorizationQueries.definitions(subscriptionId), enabled })
  const { data: principals = [] } = useQuery({ ...directoryQueries.principals(), enabled })
  const names = new Map([
    ...roles.map((role) => [role.name.toLowerCase(), role.properties.roleName] as const),
    ...principals.map((principal) => [principal.id.toLowerCase(), principal.name] as const),
  ])
  return (text: string) => names.get(nameOf(text).toLowerCase()) ?? text
}
