import { queryOptions } from '@tanstack/react-query'
import { isoDuration } from '../../domain/isoDuration.ts'
import { armUrl } from '../arm.ts'
import { get, listAll } from '../client.ts'
import { types } from '../keys.ts'
import type { JitPolicy, JitRequest } from '../types.ts'
import { resourceWrite, type Write } from '../writes.ts'

const type = 'jitNetworkAccessPolicies'

export const jitQueries = {
  policies: (subscription: string) =>
    queryOptions({
      queryKey: [types.jit, subscription],
      queryFn: ({ signal }) =>
        listAll<JitPolicy>(
          armUrl(`${subscription}/providers/Microsoft.Security/${type}`, 'microsoft.security'),
          signal,
        ),
    }),
  policy: (id: string) =>
    queryOptions({
      queryKey: [types.jit, id.toLowerCase()],
      queryFn: ({ signal }) => get<JitPolicy>(armUrl(id, 'microsoft.security'), signal),
    }),
}

/** An action that names a request; the server tells of nothing else that it changes. */
function act(policy: string, verb: string, before: string, after: string, body: object): Write<JitRequest> {
  return {
    method: 'POST',
    url: armUrl(`${policy}/${verb}`, 'microsoft.security'),
    body,
    operation: `Microsoft.Security/locations/${type}/${verb}/action`,
    target: { name: policy.split('/').at(-1) ?? policy, id: policy },
    foresee: () =>
      Promise.resolve([
        {
          resourceId: policy,
          changeType: 'Modify',
          before: { properties: { request: before } },
          after: { properties: { request: after } },
        },
      ]),
  }
}

export type Ask = {
  policy: string
  machine: string
  ports: number[]
  minutes: number
  reason: string
  ticket: string
  /** Empty: where the request comes from. */
  source: string
  sudo: boolean
  account: boolean
  login: boolean
  /** Empty: one's own. */
  user: string
}

const elevations = ({ sudo, account, login, user, minutes }: Ask) => {
  const given = { duration: isoDuration(minutes) }
  const all = {
    user: user || undefined,
    sudo: sudo ? given : undefined,
    account: account ? given : undefined,
    login: login ? given : undefined,
  }
  return sudo || account || login ? all : undefined
}

export const initiate = (asked: Ask): Write<JitRequest> => {
  const { policy, machine, ports, minutes, reason, ticket, source } = asked
  return act(policy, 'initiate', '', 'Initiated', {
    justification: reason || undefined,
    sekisho: ticket ? { ticketNumber: ticket } : undefined,
    virtualMachines: [
      {
        id: machine,
        ports: ports.map((number) => ({
          number,
          duration: isoDuration(minutes),
          allowedSourceAddressPrefix: source || undefined,
        })),
        sekisho: elevations(asked),
      },
    ],
  })
}

export type Verb = 'approve' | 'deny' | 'revoke' | 'cancel'

export const decide = (policy: string, request: JitRequest, verb: Verb, justification: string): Write<JitRequest> =>
  act(policy, verb, 'Initiated', verb, { requestId: request.sekisho.id, justification: justification || undefined })

export const extend = (
  policy: string,
  request: JitRequest,
  { minutes, reason, ticket }: { minutes: number; reason: string; ticket: string },
): Write<JitRequest> =>
  act(policy, 'extend', 'Initiated', 'Initiated', {
    requestId: request.sekisho.id,
    duration: isoDuration(minutes),
    justification: reason || undefined,
    ticketNumber: ticket || undefined,
  })

export type NewGuard = { group: string; location: string; machine: string; port: number; minutes: number }

/** The id of the policy of a group that the portal writes. */
const ownPolicy = (group: string, location: string) =>
  `${group}/providers/Microsoft.Security/locations/${location}/${type}/default`

/** Adds a port of a machine to the policy of its group. */
export const guard = (
  { group, location, machine, port, minutes }: NewGuard,
  policies: JitPolicy[],
): Write<JitPolicy> => {
  const id = ownPolicy(group, location)
  const kept = policies.find((policy) => policy.id.toLowerCase() === id.toLowerCase())
  const machines = kept?.properties.virtualMachines ?? []
  const rule = {
    number: port,
    protocol: '*',
    allowedSourceAddressPrefix: '*',
    maxRequestAccessDuration: isoDuration(minutes),
  }
  const same = (other: string) => other.toLowerCase() === machine.toLowerCase()
  const known = machines.find((item) => same(item.id))
  const virtualMachines = known
    ? machines.map((item) => (same(item.id) ? { ...item, ports: [...item.ports, rule] } : item))
    : [...machines, { id: machine, ports: [rule] }]
  // Fields of the policy that nobody here knows stay as they are.
  const properties = { ...kept?.properties, virtualMachines }
  return resourceWrite<JitPolicy>('PUT', id, { body: { kind: 'Basic', ...kept, properties } })
}

export type NewOffer = {
  group: string
  location: string
  machine: string
  minutes: number
  sudo: boolean
  /** None: all of them. */
  commands: string[]
  account: boolean
  login: boolean
}

/** Lets people ask for more than they are on a machine. It is a policy of its own, as it holds for all its machines. */
export const offerUsers = (
  { group, location, machine, minutes, sudo, commands, account, login }: NewOffer,
  policies: JitPolicy[],
): Write<JitPolicy> => {
  const name = `users-${machine.split('/').at(-1) ?? ''}`
  const id = `${group}/providers/Microsoft.Security/locations/${location}/${type}/${name}`
  const kept = policies.find((policy) => policy.id.toLowerCase() === id.toLowerCase())
  const longest = { maxRequestAccessDuration: isoDuration(minutes) }
  const settings = {
    ...kept?.properties.sekisho,
    sudo: sudo ? { ...longest, commands: commands.length > 0 ? commands : undefined } : undefined,
    account: account ? longest : undefined,
    login: login ? longest : undefined,
  }
  const machines = kept?.properties.virtualMachines ?? [{ id: machine, ports: [] }]
  const properties = { ...kept?.properties, virtualMachines: machines, sekisho: settings }
  return resourceWrite<JitPolicy>('PUT', id, { body: { kind: 'Basic', ...kept, properties } })
}
