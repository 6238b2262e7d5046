import { queryOptions } from '@tanstack/react-query'
import { call, listAll } from '../client.ts'
import { types } from '../keys.ts'
import type {
  Application,
  Group,
  Invitation,
  Member,
  PasswordCredential,
  PrincipalType,
  ServicePrincipal,
  User,
} from '../types.ts'

const at = (id: string) => encodeURIComponent(id)

export type Principal = { id: string; type: PrincipalType; name: string; detail: string }

export const directoryQueries = {
  users: () => queryOptions({ queryKey: [types.user], queryFn: ({ signal }) => listAll<User>('/v1.0/users', signal) }),
  groups: () =>
    queryOptions({ queryKey: [types.group], queryFn: ({ signal }) => listAll<Group>('/v1.0/groups', signal) }),
  members: (groupId: string) =>
    queryOptions({
      queryKey: [types.group, groupId, 'members'],
      queryFn: ({ signal }) => listAll<Member>(`/v1.0/groups/${at(groupId)}/members`, signal),
    }),
  servicePrincipals: () =>
    queryOptions({
      queryKey: [types.servicePrincipal],
      queryFn: ({ signal }) => listAll<ServicePrincipal>('/v1.0/servicePrincipals', signal),
    }),
  applications: () =>
    queryOptions({
      queryKey: [types.servicePrincipal, 'applications'],
      queryFn: ({ signal }) => listAll<Application>('/v1.0/applications', signal),
    }),
  /** Names for ids, wherever an id of a principal is shown. A list the reader may not see leaves its ids unnamed. */
  principals: () =>
    queryOptions({
      queryKey: [types.user, 'principals'],
      queryFn: async ({ signal }): Promise<Principal[]> => {
        const [users, groups, apps] = await Promise.allSettled([
          listAll<User>('/v1.0/users', signal),
          listAll<Group>('/v1.0/groups', signal),
          listAll<ServicePrincipal>('/v1.0/servicePrincipals', signal),
        ])
        const found = <T>(result: PromiseSettledResult<T[]>) => (result.status === 'fulfilled' ? result.value : [])
        return [
          ...found(users).map((user) => ({
            id: user.id,
            type: 'User' as const,
            name: user.displayName,
            detail: user.userPrincipalName,
          })),
          ...found(groups).map((group) => ({
            id: group.id,
            type: 'Group' as const,
            name: group.displayName,
            detail: '',
          })),
          ...found(apps).map((app) => ({
            id: app.id,
            type: 'ServicePrincipal' as const,
            name: app.displayName,
            detail: app.appId,
          })),
        ]
      },
    }),
}

export const createUser = (displayName: string, userPrincipalName: string) =>
  call<User>('POST', '/v1.0/users', { body: { displayName, userPrincipalName } })
export const inviteUser = (id: string) => call<Invitation>('POST', `/v1.0/users/${at(id)}/sekisho.invite`, { body: {} })
export const setUserEnabled = (id: string, accountEnabled: boolean) =>
  call<void>('PATCH', `/v1.0/users/${at(id)}`, { body: { accountEnabled } })
export const deleteUser = (id: string) => call<void>('DELETE', `/v1.0/users/${at(id)}`)

export const createGroup = (displayName: string) => call<Group>('POST', '/v1.0/groups', { body: { displayName } })
export const addMember = (groupId: string, memberId: string) =>
  call<void>('POST', `/v1.0/groups/${at(groupId)}/members/$ref`, {
    body: { '@odata.id': `${location.origin}/v1.0/directoryObjects/${memberId}` },
  })
export const removeMember = (groupId: string, memberId: string) =>
  call<void>('DELETE', `/v1.0/groups/${at(groupId)}/members/${at(memberId)}/$ref`)

export async function createServicePrincipal(displayName: string) {
  const application = await call<Application>('POST', '/v1.0/applications', { body: { displayName } })
  const principal = await call<ServicePrincipal>('POST', '/v1.0/servicePrincipals', {
    body: { appId: application.appId },
  })
  return { application, principal }
}
export const addSecret = (applicationId: string, displayName: string, endDateTime: string) =>
  call<PasswordCredential>('POST', `/v1.0/applications/${at(applicationId)}/addPassword`, {
    body: { passwordCredential: { displayName, endDateTime } },
  })
export const removeSecret = (applicationId: string, keyId: string) =>
  call<void>('POST', `/v1.0/applications/${at(applicationId)}/removePassword`, { body: { keyId } })
export const deleteApplication = (id: string) => call<void>('DELETE', `/v1.0/applications/${at(id)}`)
