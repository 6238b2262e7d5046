import { queryOptions } from '@tanstack/react-query'
import { call, listAll } from '../client.ts'
import { types } from '../keys.ts'
import type { Analysis, Backtest, List, NamedLocation, Policy, SignInEntry } from '../types.ts'
import type { Write } from '../writes.ts'

const root = '/v1.0/identity/conditionalAccess'
const at = (id: string) => encodeURIComponent(id)
const rights = 'Microsoft.Authorization/conditionalAccessPolicies'

export const conditionalAccessQueries = {
  policies: () =>
    queryOptions({ queryKey: [types.policy], queryFn: ({ signal }) => listAll<Policy>(`${root}/policies`, signal) }),
  signIns: () =>
    queryOptions({
      queryKey: [types.signIn],
      queryFn: ({ signal }) => listAll<SignInEntry>('/v1.0/auditLogs/signIns?$top=200', signal),
    }),
  locations: () =>
    queryOptions({
      queryKey: [types.namedLocation],
      queryFn: ({ signal }) => listAll<NamedLocation>(`${root}/namedLocations`, signal),
    }),
}

export const savePolicy = (policy: Policy): Write<Policy> => ({
  method: policy.id ? 'PATCH' : 'POST',
  url: policy.id ? `${root}/policies/${at(policy.id)}` : `${root}/policies`,
  body: policy,
  operation: `${rights}/write`,
  target: { name: policy.displayName ?? '' },
})
export const deletePolicy = (policy: Policy): Write => ({
  method: 'DELETE',
  url: `${root}/policies/${at(policy.id ?? '')}`,
  operation: `${rights}/delete`,
  target: { name: policy.displayName ?? '' },
})
export const confirmPolicy = (policy: Policy): Write => ({
  method: 'POST',
  url: `${root}/policies/${at(policy.id ?? '')}/sekisho.confirm`,
  body: {},
  operation: `${rights}/write`,
  target: { name: policy.displayName ?? '' },
})
export const saveLocation = (location: NamedLocation): Write => ({
  method: location.id ? 'PATCH' : 'POST',
  url: location.id ? `${root}/namedLocations/${at(location.id)}` : `${root}/namedLocations`,
  body: location,
  operation: `${rights}/write`,
  target: { name: location.displayName },
})
export const deleteLocation = (location: NamedLocation): Write => ({
  method: 'DELETE',
  url: `${root}/namedLocations/${at(location.id ?? '')}`,
  operation: `${rights}/delete`,
  target: { name: location.displayName },
})

/** Whom a policy would have stopped. */
export const backtest = (policy: Policy, days: number) =>
  call<Backtest>('POST', `${root}/policies/sekisho.backtest`, { body: { policy, days } })

export type SignIn = {
  userId: string
  application: string
  ipAddress: string
  devicePlatform: string
  clientAppType: string
}

/** What all policies would say of a sign-in. */
export const evaluate = async (signIn: SignIn) =>
  (
    await call<List<Analysis>>('POST', `${root}/evaluate`, {
      body: {
        signInIdentity: { '@odata.type': '#microsoft.graph.userSignIn', userId: signIn.userId },
        signInContext: { includeApplications: signIn.application ? [signIn.application] : [] },
        signInConditions: {
          ipAddress: signIn.ipAddress || undefined,
          devicePlatform: signIn.devicePlatform || undefined,
          clientAppType: signIn.clientAppType || undefined,
        },
      },
    })
  ).value
