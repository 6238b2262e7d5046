import { queryOptions } from '@tanstack/react-query'
import { listAll } from '../client.ts'
import { types } from '../keys.ts'
import type {
  AccessPass,
  Application,
  Group,
  Invitation,
  LiveSession,
  Member,
  PasswordCredential,
  PrincipalType,
  RiskyUser,
  ServicePrincipal,
  User,
} from '../types.ts'
import type { Write } from '../writes.ts'

const at = (id: string) => encodeURIComponent(id)

export type Principal = { id: string; type: PrincipalType; name: string; detail: string }

export const directoryQueries = {
  users: () => queryOptions({ queryKey: [types.user], queryFn: ({ signal }) => listAll<User>('/v1.0/users', signal) }),
  /** Whose account may be in somebody else's hands. */
  riskyUsers: () =>
    queryOptions({
      queryKey: [types.user, 'risk'],
      queryFn: ({ signal }) => listAll<RiskyUser>('/v1.0/identityProtection/riskyUsers', signal),
    }),
  /** Of everybody: only for who administers the directory. */
  liveSessions: () =>
    queryOptions({
      queryKey: [types.session, 'everyone'],
      queryFn: ({ signal }) => listAll<LiveSession>('/v1.0/sekisho.sessions', signal),
    }),
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

function directoryWrite<Answer = void>(
  method: Write['method'],
  operation: string,
  url: string,
  name: string,
  body?: unknown,
): Write<Answer> {
  return { method, url, body, operation: `sekisho.identity/${operation}`, target: { name } }
}

export const createUser = (displayName: string, userPrincipalName: string) =>
  directoryWrite<User>('POST', 'people/write', '/v1.0/users', displayName, { displayName, userPrincipalName })
export const inviteUser = ({ id, displayName }: User) =>
  directoryWrite<Invitation>('POST', 'people/setuplink/action', `/v1.0/users/${at(id)}/sekisho.invite`, displayName, {})
export const issuePass = ({ id, displayName }: User, lifetimeInMinutes: number) =>
  directoryWrite<AccessPass>(
    'POST',
    'people/accesspass/write',
    `/v1.0/users/${at(id)}/authentication/temporaryAccessPassMethods`,
    displayName,
    { lifetimeInMinutes, isUsableOnce: true },
  )
export const endLiveSession = ({ id, userDisplayName }: LiveSession) =>
  directoryWrite('DELETE', 'people/sessions/delete', `/v1.0/sekisho.sessions/${at(id)}`, userDisplayName)
export const revokeSignIns = ({ userId, userDisplayName }: LiveSession) =>
  directoryWrite(
    'POST',
    'people/sessions/delete',
    `/v1.0/users/${at(userId)}/revokeSignInSessions`,
    userDisplayName,
    {},
  )
export const setUserEnabled = ({ id, displayName }: User, accountEnabled: boolean) =>
  directoryWrite('PATCH', 'people/write', `/v1.0/users/${at(id)}`, displayName, { accountEnabled })
/** Whether somebody else has a person's account, as an administrator other than the person says. */
export const sayOfAccount = ({ id, displayName }: User, said: 'confirmCompromised' | 'dismiss') =>
  directoryWrite('POST', 'people/write', `/v1.0/identityProtection/riskyUsers/${said}`, displayName, { userIds: [id] })
export const deleteUser = ({ id, displayName }: User) =>
  directoryWrite('DELETE', 'people/delete', `/v1.0/users/${at(id)}`, displayName)

export const createGroup = (displayName: string) =>
  directoryWrite<Group>('POST', 'groups/write', '/v1.0/groups', displayName, { displayName })
export const addMember = (group: Group, memberId: string) =>
  directoryWrite('POST', 'groups/members/write', `/v1.0/groups/${at(group.id)}/members/$ref`, group.displayName, {
    '@odata.id': `${location.origin}/v1.0/directoryObjects/${memberId}`,
  })
export const removeMember = (group: Group, memberId: string) =>
  directoryWrite(
    'DELETE',
    'groups/members/delete',
    `/v1.0/groups/${at(group.id)}/members/${at(memberId)}/$ref`,
    group.displayName,
  )

export const createApplication = (displayName: string) =>
  directoryWrite<Application>('POST', 'applications/write', '/v1.0/applications', displayName, { displayName })
export const createServicePrincipal = ({ appId, displayName }: Application) =>
  directoryWrite<ServicePrincipal>('POST', 'serviceprincipals/write', '/v1.0/servicePrincipals', displayName, { appId })
export const addSecret = (application: Application, displayName: string, endDateTime: string) =>
  directoryWrite<PasswordCredential>(
    'POST',
    'applications/secrets/write',
    `/v1.0/applications/${at(application.id)}/addPassword`,
    application.displayName,
    { passwordCredential: { displayName, endDateTime } },
  )
export const removeSecret = (application: Application, keyId: string) =>
  directoryWrite(
    'POST',
    'applications/secrets/delete',
    `/v1.0/applications/${at(application.id)}/removePassword`,
    application.displayName,
    { keyId },
  )
export const deleteApplication = ({ id, displayName }: Application) =>
  directoryWrite('DELETE', 'applications/delete', `/v1.0/applications/${at(id)}`, displayName)
