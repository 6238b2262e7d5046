import { queryOptions } from '@tanstack/react-query'
import { call, get } from '../client.ts'
import { types } from '../keys.ts'
import { createPasskey, getPasskey, type PasskeyBegin } from '../passkey.ts'
import { type Asking, proofBy } from '../stepUp.ts'
import type {
  AccessPassOpened,
  AuthorizationAnswer,
  AuthorizationRequest,
  AuthState,
  Credential,
  DeviceRequest,
  GrantRow,
  List,
  Notice,
  PasswordChanged,
  PasswordSetup,
  Session,
  SessionRow,
  SetupDone,
  SetupLink,
  StepUpApproval,
} from '../types.ts'
import type { ResourceChange, Write } from '../writes.ts'

export const authQueries = {
  state: () =>
    queryOptions({ queryKey: ['auth-state'], queryFn: () => get<AuthState>('/auth/state'), staleTime: 60_000 }),
  session: () =>
    queryOptions({
      queryKey: [types.session, 'mine'],
      queryFn: () => get<Session>('/auth/session'),
      staleTime: 5 * 60_000,
      retry: false,
    }),
  sessions: () =>
    queryOptions({
      queryKey: [types.session, 'list'],
      queryFn: async () => (await get<List<SessionRow>>('/auth/sessions')).value,
    }),
  grants: () =>
    queryOptions({
      queryKey: [types.grant],
      queryFn: async () => (await get<List<GrantRow>>('/auth/grants')).value,
    }),
  notices: () =>
    queryOptions({
      queryKey: [types.notice],
      queryFn: async () => (await get<List<Notice>>('/auth/notices')).value,
    }),
  credentials: () =>
    queryOptions({
      queryKey: [types.session, 'credentials'],
      queryFn: async () => (await get<List<Credential>>('/auth/credentials')).value,
    }),
}

const post = <T>(url: string, body: unknown = {}) => call<T>('POST', url, { body })

export async function signInWithPasskey(options: { conditional?: boolean; signal?: AbortSignal } = {}) {
  const begin = await post<PasskeyBegin<PublicKeyCredentialRequestOptionsJSON>>('/auth/passkey/begin')
  const credential = await getPasskey(begin.publicKey, options)
  return post<Session>('/auth/passkey/finish', { ceremony: begin.ceremony, credential })
}

export const signInWithPassword = (userPrincipalName: string, password: string, code: string) =>
  post<Session>('/auth/password', { userPrincipalName, code, password })

/** Proves that a request which waits is the person's own. */
export const confirmOperation = async (asked: Asking, typed: { password: string; code: string }, signal: AbortSignal) =>
  post<StepUpApproval>('/auth/stepup', await proofBy(asked, typed, signal))

/** The old password and a code prove that it is the person who changes it; nothing else has an effect. */
export const changePassword = (typed: {
  currentPassword: string
  code: string
  newPassword: string
  endOtherSessions: boolean
}) => post<PasswordChanged>('/auth/credentials/password', typed)

/** The way to registering something of one's own: the token of a set-up link. */
export const openAccessPass = (userPrincipalName: string, accessPass: string) =>
  post<AccessPassOpened>('/auth/accesspass', { userPrincipalName, accessPass })

/** Nothing is lost by it: what it told is in the log. */
export const putNoticeAway = (id: string) => call<void>('DELETE', `/auth/notices/${encodeURIComponent(id)}`)

/** What a client asks for that sent the browser here; `query` is the page's own. */
export const inspectAuthorization = (query: string) => post<AuthorizationRequest>('/auth/authorize/inspect', { query })
export const decideAuthorization = (query: string, allow: boolean) =>
  post<AuthorizationAnswer>('/auth/authorize', { query, allow })

/** Who waits for a code that was typed. */
export const inspectDevice = (userCode: string) => post<DeviceRequest>('/auth/device/inspect', { userCode })
export const decideDevice = (userCode: string, allow: boolean) => post<void>('/auth/device', { userCode, allow })

const gone = (id: string, before: unknown): ResourceChange => ({
  resourceId: id,
  changeType: 'Delete',
  before,
  after: null,
})

/** Which of the sessions there are right now would end. */
const endedSessions = (ends: (session: SessionRow) => boolean) => async () =>
  (await get<List<SessionRow>>('/auth/sessions')).value
    .filter(ends)
    .map(({ id, userAgent, ipAddress, lastSeenAt }) => gone(id, { displayName: ipAddress, userAgent, lastSeenAt }))

export const revokeSession = ({ id, ipAddress }: SessionRow): Write<void> => ({
  method: 'DELETE',
  url: `/auth/sessions/${encodeURIComponent(id)}`,
  operation: 'sekisho.identity/people/sessions/delete',
  target: { name: ipAddress },
  foresee: endedSessions((session) => session.id === id),
})
export const revokeOtherSessions = (): Write<void> => ({
  method: 'POST',
  url: '/auth/sessions/revokeOthers',
  body: {},
  operation: 'sekisho.identity/people/sessions/delete',
  target: { name: '' },
  foresee: endedSessions((session) => !session.current),
})
export const revokeGrant = ({ id, clientName, clientId }: GrantRow): Write<void> => ({
  method: 'DELETE',
  url: `/auth/grants/${encodeURIComponent(id)}`,
  operation: 'sekisho.identity/grants/delete',
  target: { name: clientName ?? clientId },
  foresee: async () =>
    (await get<List<GrantRow>>('/auth/grants')).value
      .filter((grant) => grant.id === id)
      .map(({ ipAddress, userAgent, lastUsedAt }) =>
        gone(id, { displayName: clientName ?? clientId, ipAddress, userAgent, lastUsedAt }),
      ),
})
export const deleteCredential = ({ id, label, kind }: Credential): Write<void> => ({
  method: 'DELETE',
  url: `/auth/credentials/${encodeURIComponent(id)}`,
  operation: 'sekisho.identity/people/credentials/delete',
  target: { name: label || kind },
  foresee: async () =>
    (await get<List<Credential>>('/auth/credentials')).value
      .filter((credential) => credential.id === id)
      .map(({ kind: what, label: name, createdAt }) => gone(id, { displayName: name, kind: what, createdAt })),
})

type PasskeyCeremony = PasskeyBegin<PublicKeyCredentialCreationOptionsJSON>

/** The first of two requests; the second carries what the browser made of its answer. */
export const beginPasskey = (label: string): Write<PasskeyCeremony> => ({
  method: 'POST',
  url: '/auth/credentials/passkey/begin',
  body: { label },
  operation: 'sekisho.identity/people/credentials/write',
  target: { name: label },
  foresee: async () => [
    { resourceId: label, changeType: 'Create', before: null, after: { displayName: label, kind: 'passkey' } },
  ],
})
export const finishPasskey = async (label: string, begin: PasskeyCeremony): Promise<Write> => ({
  method: 'POST',
  url: '/auth/credentials/passkey/finish',
  body: { ceremony: begin.ceremony, credential: await createPasskey(begin.publicKey) },
  operation: 'sekisho.identity/people/credentials/write',
  target: { name: label },
})

export type SetupPerson = { token: string; userPrincipalName: string; displayName: string }

export const inspectSetup = (token: string) => post<SetupLink>('/auth/setup/inspect', { token })

export async function setUpPasskey(person: SetupPerson) {
  const begin = await post<PasskeyBegin<PublicKeyCredentialCreationOptionsJSON>>('/auth/setup/passkey/begin', person)
  const credential = await createPasskey(begin.publicKey)
  return post<SetupDone>('/auth/setup/passkey/finish', { ceremony: begin.ceremony, credential })
}

export const beginPasswordSetup = (person: SetupPerson, password: string) =>
  post<PasswordSetup>('/auth/setup/password/begin', { ...person, password })

export const finishPasswordSetup = (ceremony: string, code: string) =>
  post<SetupDone>('/auth/setup/password/finish', { ceremony, code })
