import { queryOptions } from '@tanstack/react-query'
import { armUrl } from '../arm.ts'
import { call, listAll } from '../client.ts'
import { types } from '../keys.ts'
import type {
  Explanation,
  List,
  PrincipalType,
  ProviderOperations,
  RoleAssignment,
  RoleDefinition,
  WhoCan,
} from '../types.ts'
import { resourceWrite } from '../writes.ts'

const authorization = (scope: string, type: string) =>
  armUrl(`${scope}/providers/Microsoft.Authorization/${type}`, 'microsoft.authorization')

export const authorizationQueries = {
  definitions: (scope: string) =>
    queryOptions({
      queryKey: [types.roleDefinition, scope],
      queryFn: ({ signal }) => listAll<RoleDefinition>(authorization(scope, 'roleDefinitions'), signal),
    }),
  assignments: (scope: string) =>
    queryOptions({
      queryKey: [types.roleAssignment, scope],
      queryFn: ({ signal }) => listAll<RoleAssignment>(authorization(scope, 'roleAssignments'), signal),
    }),
  /** Every action the server knows, with the provider's name in front. */
  actions: () =>
    queryOptions({
      queryKey: ['provider-operations'],
      staleTime: Number.POSITIVE_INFINITY,
      queryFn: async ({ signal }) => {
        const providers = await listAll<ProviderOperations>(authorization('', 'providerOperations'), signal)
        const operations = providers.flatMap((provider) => [
          ...(provider.operations ?? []),
          ...(provider.resourceTypes ?? []).flatMap((type) => type.operations),
        ])
        return [...new Set(operations.map((operation) => operation.name))].toSorted()
      },
    }),
}

export type NewAssignment = {
  scope: string
  roleDefinitionId: string
  principalId: string
  principalType: PrincipalType
}

/** The server takes the name as given, so that what is tried and what is sent must have the same. */
export const createAssignment = ({ scope, ...properties }: NewAssignment, name: string) =>
  resourceWrite<RoleAssignment>('PUT', `${scope}/providers/Microsoft.Authorization/roleAssignments/${name}`, {
    body: { properties },
  })

const ask = <T>(scope: string, question: string, body: unknown) =>
  call<T>('POST', armUrl(`${scope}/providers/Sekisho.Authorization/${question}`, 'sekisho.authorization'), { body })

export const explain = (scope: string, principalId: string, action: string) =>
  ask<Explanation>(scope, 'explain', { principalId, action })
export const whoCan = async (scope: string, action: string) =>
  (await ask<List<WhoCan>>(scope, 'whoCan', { action })).value
export const effectiveActions = async (scope: string, principalId: string) =>
  (await ask<{ actions: string[] }>(scope, 'effective', { principalId })).actions

/** Those of some groups that somebody is in, also through others; in lower case. */
export async function groupsAmong(groupIds: string[], principalId: string) {
  const url = `/v1.0/users/${encodeURIComponent(principalId)}/checkMemberGroups`
  const { value } = await call<List<string>>('POST', url, { body: { groupIds } })
  return new Set(value.map((id) => id.toLowerCase()))
}
