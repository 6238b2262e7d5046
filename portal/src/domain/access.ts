import type { JitPolicy, JitRequest, JitState, Machine } from '../api/types.ts'
import { minutesOf } from './isoDuration.ts'

/** A request with the policy that it is of. */
export type Asked = { policy: JitPolicy; request: JitRequest }
/** A machine, and the policies that guard ports of it, or offer its users more. */
export type Guarded = { id: string; name: string; machine?: Machine; policies: JitPolicy[]; ports: GuardedPort[] }
export type GuardedPort = { policy: JitPolicy; number: number; protocol: string; longest: string; allowed: string }

const isOurs = (request: JitPolicy['properties']['requests'][number]): request is JitRequest =>
  request.sekisho !== undefined

const openStates: readonly JitState[] = ['approved', 'active']
export const isOpen = (state: JitState) => openStates.includes(state)

/** The requests of policies, newest first; what was imported is history of another installation. */
export const asked = (policies: readonly JitPolicy[]): Asked[] =>
  policies
    .flatMap((policy) => policy.properties.requests.filter(isOurs).map((request) => ({ policy, request })))
    .toSorted((a, b) => b.request.startTimeUtc.localeCompare(a.request.startTimeUtc))

/** Everything that a request is about on its machines, ports and what users are given alike. */
const partsOf = (request: JitRequest) =>
  request.virtualMachines.flatMap(({ ports, sekisho }) => [...ports, ...(sekisho?.elevations ?? [])])
const statesOf = ({ request }: Asked) => partsOf(request).map(({ state }) => state)

/** What users of a request's machines are given. */
export const elevationsOf = (request: JitRequest) =>
  request.virtualMachines.flatMap(({ sekisho }) => sekisho?.elevations ?? [])

/** Whether more time was asked for what is open, to which somebody must say yes. */
export const wantsMore = ({ request }: Asked) => request.sekisho.extension !== undefined
export const isWaiting = (item: Asked) => statesOf(item).includes('pending') || wantsMore(item)
export const hasOpen = (item: Asked) => statesOf(item).some(isOpen)

/** Whether somebody asked for what waits: the request, or more time for it. */
export const isTheirs = ({ request }: Asked, person: string) =>
  request.sekisho.requestorId === person || request.sekisho.extension?.requestorId === person

/**
 * Whether somebody could be the one whom a request, or more time for it, waits for: they neither asked for it nor have
 * said yes. Whether they may decide, only the server knows.
 */
export const isUndecidedBy = (item: Asked, person: string) => {
  const { extension, reviews } = item.request.sekisho
  return (
    isWaiting(item) && !isTheirs(item, person) && !(extension ?? { reviews }).reviews.some(({ by }) => by.id === person)
  )
}

/** The group whose people decide on requests of a policy; without one, whoever has the right. */
export const approversOf = ({ properties: { sekisho } }: JitPolicy) => sekisho?.approval?.group

/** What all ports of a request carried together; nothing when nobody has used any. */
export function usageOf({ request }: Asked) {
  const all = request.virtualMachines.flatMap(({ ports }) => ports.flatMap(({ usage }) => usage ?? []))
  const [first] = all.map(({ firstUsedUtc }) => firstUsedUtc).toSorted()
  const last = all
    .map(({ lastUsedUtc }) => lastUsedUtc)
    .toSorted()
    .at(-1)
  if (first === undefined || last === undefined) return undefined
  const sum = (of: 'connections' | 'bytes') => all.reduce((total, usage) => total + usage[of], 0)
  return { first, last, connections: sum('connections'), bytes: sum('bytes') }
}

/** Whether ports of a request were open, are not any more, and nobody used them. What users did is not counted. */
export const isUnused = (item: Asked) =>
  item.request.virtualMachines.some(({ ports }) => ports.length > 0) &&
  !hasOpen(item) &&
  item.request.sekisho.history.some(({ event }) => event === 'approve') &&
  !usageOf(item)

/** For how many minutes from now what is open may be open at most: the maximum counts from its beginning. */
export function mostMinutes({ policy, request }: Asked, nowMs: number) {
  const begin = request.sekisho.history.find(({ event }) => event === 'approve')?.at ?? request.startTimeUtc
  const gone = (nowMs - Date.parse(begin)) / 60_000
  const { sudo, account, login } = policy.properties.sekisho ?? {}
  const offers = elevationsOf(request)
    .filter(({ state }) => isOpen(state))
    .flatMap(({ kind }) => (kind === 'sudo' ? sudo : kind === 'login' ? login : account) ?? [])
  const longest = request.virtualMachines.flatMap(({ id, ports }) => {
    const rules = policy.properties.virtualMachines.find((other) => other.id.toLowerCase() === id.toLowerCase())?.ports
    const open = ports.filter(({ state }) => isOpen(state))
    return open.flatMap(({ number }) => (rules ?? []).filter((rule) => rule.number === number))
  })
  const all = [...longest, ...offers].map(({ maxRequestAccessDuration }) => maxRequestAccessDuration)
  const most = Math.min(1440, ...all.map(minutesOf))
  return Math.max(0, Math.floor(most - gone))
}

/** The state that stands for a request whose parts differ: what is open counts, then what waits. */
export const stateOf = (item: Asked): JitState => {
  const states = statesOf(item)
  return states.find(isOpen) ?? states.find((state) => state === 'pending') ?? states[0] ?? 'requested'
}

/** When the last of what a request gives ends that is given. */
export const endOf = ({ request }: Asked) =>
  partsOf(request)
    .filter(({ state }) => isOpen(state))
    .map(({ endTimeUtc }) => endTimeUtc ?? '')
    .toSorted()
    .at(-1)

/** What may be asked for of a policy beside ports. */
export const offersOf = ({ properties: { sekisho } }: JitPolicy) => ({
  sudo: sekisho?.sudo,
  account: sekisho?.account,
  login: sekisho?.login,
})

/** Machines by what can be done about them. Unsupported: nothing is known of an interface, or of the machine at all. */
export function sorted(policies: readonly JitPolicy[], machines: readonly Machine[]) {
  const byId = new Map(machines.map((machine) => [machine.id.toLowerCase(), machine]))
  const guarded = new Map<string, Guarded>()
  for (const policy of policies) {
    for (const { id, ports } of policy.properties.virtualMachines) {
      const machine = byId.get(id.toLowerCase())
      const known = guarded.get(id.toLowerCase()) ?? {
        id: machine?.id ?? id,
        name: machine?.name ?? id.split('/').at(-1) ?? id,
        machine,
        policies: [],
        ports: [],
      }
      known.policies.push(policy)
      known.ports.push(
        ...ports.map(({ number, protocol, maxRequestAccessDuration, ...sources }) => ({
          policy,
          number,
          protocol,
          longest: maxRequestAccessDuration,
          allowed: sources.allowedSourceAddressPrefix ?? (sources.allowedSourceAddressPrefixes ?? []).join(', '),
        })),
      )
      guarded.set(id.toLowerCase(), known)
    }
  }
  const works = ({ machine }: { machine?: Machine }) => (machine?.nics ?? 0) > 0
  const all = [...guarded.values()].toSorted((a, b) => a.name.localeCompare(b.name))
  const rest: Guarded[] = machines
    .filter(({ id }) => !guarded.has(id.toLowerCase()))
    .map((machine) => ({ id: machine.id, name: machine.name, machine, policies: [], ports: [] }))
  return {
    configured: all.filter(works),
    open: rest.filter(works),
    unsupported: [...all, ...rest].filter((item) => !works(item)),
  }
}

/** What is left until an instant, as `1:02:03`; nothing when it is over. */
export function left(iso: string, nowMs: number) {
  const seconds = Math.ceil((Date.parse(iso) - nowMs) / 1000)
  if (!(seconds > 0)) return undefined
  const two = (value: number) => String(value).padStart(2, '0')
  return `${Math.floor(seconds / 3600)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
}
