import type { QueryClient } from '@tanstack/react-query'
import { checkSession, onReach, onSignedIn } from '../api/client.ts'
import { types } from '../api/keys.ts'
import { createStore } from './store.ts'

/**
 * Live updates: the server says what changed, the query cache decides whether anybody looks at it.
 * Nothing in an event is ever shown; it only makes mounted queries ask again.
 *
 * `offline`: the server does not answer at all. `stale`: it answers, but has not told changes for a while.
 */
export type Live = { state: 'connecting' | 'live' | 'stale' | 'offline'; sinceMs: number; version?: string }

const staleAfterMs = 30_000
const pollEveryMs = 60_000
const probeEveryMs = { first: 1_000, most: 8_000 }
/** A fleet of thousands reports all the time: lists are asked for at most this often. */
const listEveryMs: Record<string, number> = { [types.activity]: 3_000 }
const machinesEveryMs = { few: 700, many: 5_000, manyReports: 30_000 }
const manyMachines = 1_000

/** What the server calls a machine's state beside the resource, which every report changes. */
const report = 'machine'

/** What else is out of date when a resource of this type changes. */
const alsoChanged: Record<string, string[]> = {
  facts: [types.machine, types.machineRow],
  // How far a machine is with its rules is kept beside it, and when it last reported.
  [report]: [types.machine, types.machineRow],
  [types.machine]: [types.machineRow, types.invariant],
  [types.nsg]: [types.nic, types.effectiveRules, types.machineRow, types.invariant],
  [types.nic]: [types.nsg, types.effectiveRules, types.machineRow, types.invariant],
  [types.vnet]: [types.nsg, types.effectiveRules, types.machineRow, types.invariant],
  [types.asg]: [types.effectiveRules, types.invariant],
  [types.activation]: [types.eligibility],
  [types.roleSettings]: [types.eligibility],
}

const live = createStore<Live>({ state: 'connecting', sinceMs: Date.now() })

export const useLive = live.use

const setState = (state: Live['state']) => {
  if (live.get().state === state) return
  // Whatever is lost next, what is shown dates from when it was last live.
  const sinceMs = state === 'live' || live.get().state === 'live' ? Date.now() : live.get().sinceMs
  live.set({ ...live.get(), state, sinceMs })
}

/** A child type (`…/securityrules`, `…/subnets`) changes its parent, which is what pages show. */
const pageType = (type: string) => type.toLowerCase().split('/').slice(0, 2).join('/')

export function connectEvents(client: QueryClient) {
  const timers = new Map<string, { timer: ReturnType<typeof setTimeout>; dueMs: number }>()
  let source: EventSource | undefined
  let probing: ReturnType<typeof setTimeout> | undefined
  let probeMs = probeEveryMs.first

  const waitMs = (type: string, cause: string) => {
    if (type !== types.machineRow) return listEveryMs[type] ?? 700
    const lists = client.getQueriesData<unknown[]>({ queryKey: [types.machineRow] })
    if (!lists.some(([, rows]) => (rows?.length ?? 0) > manyMachines)) return machinesEveryMs.few
    return cause === report ? machinesEveryMs.manyReports : machinesEveryMs.many
  }
  const refetchSoon = (type: string, cause: string) => {
    const dueMs = Date.now() + waitMs(type, cause) + Math.random() * 300
    const waiting = timers.get(type)
    if (waiting && waiting.dueMs <= dueMs) return
    clearTimeout(waiting?.timer)
    const refetch = () => {
      timers.delete(type)
      void client.invalidateQueries({ queryKey: [type] })
    }
    timers.set(type, { timer: setTimeout(refetch, dueMs - Date.now()), dueMs })
  }

  const onChange = (event: MessageEvent<string>) => {
    const change = JSON.parse(event.data) as { type: string; id: string; verb: 'put' | 'delete' }
    const type = pageType(change.type)
    // Whoever deleted it is leaving its page at this moment; the list refetch below is late enough for everybody else.
    if (change.verb !== 'delete') {
      void client.invalidateQueries({ queryKey: [type, change.id.toLowerCase()] })
      void client.invalidateQueries({ queryKey: ['resource', change.id.toLowerCase()] })
    }
    // What happens to a machine is shown at that machine only, which has just been asked again.
    if (type === types.machineEvent) return
    for (const affected of [type, ...(alsoChanged[type] ?? []), types.activity]) refetchSoon(affected, type)
  }

  /** Asks something small until there is an answer, then listens again. */
  const probe = () => {
    probing ??= setTimeout(async () => {
      probeMs = Math.min(Math.max(probeMs * 2, probeEveryMs.first), probeEveryMs.most)
      const answered = await checkSession().catch(() => undefined)
      probing = undefined
      if (!answered) probe()
    }, probeMs)
  }
  const probeNow = () => {
    if (live.get().state === 'live' && navigator.onLine) return
    clearTimeout(probing)
    probing = undefined
    probeMs = 0
    probe()
  }

  const listen = () => {
    source?.close()
    source = new EventSource('/api/events')
    source.addEventListener('hello', (event: MessageEvent<string>) => {
      probeMs = probeEveryMs.first
      const { version } = JSON.parse(event.data) as { version: string }
      // What was told in between, nobody tells again.
      if (live.get().version) void client.invalidateQueries()
      setState('live')
      live.set({ ...live.get(), version })
    })
    source.addEventListener('change', onChange)
    source.addEventListener('reset', () => void client.invalidateQueries())
    source.addEventListener('error', () => {
      if (live.get().state === 'live') setState('connecting')
      // Whether the server is gone or only the session, an ordinary request tells.
      source?.close()
      probe()
    })
  }

  const stopReach = onReach((reached) => {
    if (reached && live.get().state === 'offline') setState('connecting')
    if (reached) return
    setState('offline')
    probe()
  })
  const stopSignedIn = onSignedIn((session) => {
    // Even a stream that seems to have survived may be one that nobody speaks on any more.
    if (session && live.get().state !== 'live') listen()
  })
  addEventListener('online', probeNow)
  addEventListener('offline', probeNow)
  // Whoever comes back may have signed in elsewhere.
  addEventListener('focus', probeNow)

  const watch = setInterval(() => {
    const { state, sinceMs } = live.get()
    if (state === 'connecting' && Date.now() - sinceMs > staleAfterMs) setState('stale')
  }, 1_000)
  const poll = setInterval(() => {
    if (live.get().state === 'stale' && !document.hidden) void client.invalidateQueries()
  }, pollEveryMs)

  listen()
  return () => {
    source?.close()
    stopReach()
    stopSignedIn()
    for (const name of ['online', 'offline', 'focus']) removeEventListener(name, probeNow)
    clearInterval(watch)
    clearInterval(poll)
    clearTimeout(probing)
    for (const { timer } of timers.values()) clearTimeout(timer)
  }
}
