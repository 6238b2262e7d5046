import { queryOptions } from '@tanstack/react-query'
import { call, get } from '../client.ts'
import { types } from '../keys.ts'
import { createPasskey, getPasskey, type PasskeyBegin } from '../passkey.ts'
import type { AuthState, Credential, List, PasswordSetup, Session, SessionRow, SetupDone, SetupLink } from '../types.ts'

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

export const signOut = () => post<void>('/auth/signout')
export const revokeSession = (id: string) => call<void>('DELETE', `/auth/sessions/${encodeURIComponent(id)}`)
export const revokeOtherSessions = () => post<void>('/auth/sessions/revokeOthers')
export const deleteCredential = (id: string) => call<void>('DELETE', `/auth/credentials/${encodeURIComponent(id)}`)

export async function addPasskey(label: string) {
  const begin = await post<PasskeyBegin<PublicKeyCredentialCreationOptionsJSON>>('/auth/credentials/passkey/begin', {
    label,
  })
  const credential = await createPasskey(begin.publicKey)
  return post<unknown>('/auth/credentials/passkey/finish', { ceremony: begin.ceremony, credential })
}

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
