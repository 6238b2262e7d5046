import type { QueryClient } from '@tanstack/react-query'
import { useSyncExternalStore } from 'react'
import { types } from '../api/keys.ts'

/**
 * Live updates: the server says what changed, the query cache decides whether anybody looks at it.
 * Nothing in an event is ever shown; it only makes mounted queries ask again.
 */
export type Live = { state: 'connecting' | 'live' | 'stale'; sinceMs: number; version?: string }

const staleAfterMs = 30_000
const pollEveryMs = 60_000
/** A fleet of thousands reports all the time: lists are asked for at most this often. */
const listEveryMs: Record<string, number> = { [types.machineRow]: 5_000, [types.activity]: 3_000 }

/** What else is out of date when a resource of this type changes. */
const alsoChanged: Record<string, string[]> = {
  facts: [types.machine, types.machineRow],
  [types.machine]: [types.machineRow],
  [types.nsg]: [types.nic, types.effectiveRules, types.machineRow],
  [types.nic]: [types.nsg, types.effectiveRules, types.machineRow],
  [types.vnet]: [types.nsg, types.effectiveRules, types.machineRow],
  [types.asg]: [types.effectiveRules],
}

let live: Live = { state: 'connecting', sinceMs: Date.now() }
const listeners = new Set<() => void>()

function setLive(next: Partial<Live>) {
  live = { ...live, ...next }
  for (const listener of listeners) listener()
}

function subscribe(listener: () => void) {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

export const useLive = () => useSyncExternalStore(subscribe, () => live)

/** A child type (`…/securityrules`, `…/subnets`) changes its parent, which is what pages show. */
const pageType = (type: string) => type.toLowerCase().split('/').slice(0, 2).join('/')

export function connectEvents(client: QueryClient) {
  const timers = new Map<string, ReturnType<typeof setTimeout>>()
  let source: EventSource | undefined
  let retry: ReturnType<typeof setTimeout> | undefined
  let retryMs = 1_000
  let downSinceMs = Date.now()

  const refetchSoon = (type: string) => {
    if (timers.has(type)) return
    const jitterMs = Math.random() * 300
    timers.set(
      type,
      setTimeout(
        () => {
          timers.delete(type)
          void client.invalidateQueries({ queryKey: [type] })
        },
        (listEveryMs[type] ?? 700) + jitterMs,
      ),
    )
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
    for (const affected of [type, ...(alsoChanged[type] ?? []), types.activity]) refetchSoon(affected)
  }

  const open = () => {
    source = new EventSource('/api/events')
    source.addEventListener('hello', (event: MessageEvent<string>) => {
      retryMs = 1_000
      const { version } = JSON.parse(event.data) as { version: string }
      if (live.state === 'stale') void client.invalidateQueries()
      setLive({ state: 'live', sinceMs: Date.now(), version })
    })
    source.addEventListener('change', onChange)
    source.addEventListener('reset', () => void client.invalidateQueries())
    source.addEventListener('error', () => {
      if (live.state === 'live') {
        downSinceMs = Date.now()
        setLive({ state: 'connecting', sinceMs: downSinceMs })
      }
      // The browser retries a dropped stream by itself, but gives up on an HTTP error.
      if (source?.readyState === EventSource.CLOSED) {
        retry = setTimeout(open, retryMs)
        retryMs = Math.min(retryMs * 2, 30_000)
      }
    })
  }

  const watch = setInterval(() => {
    if (live.state === 'connecting' && Date.now() - downSinceMs > staleAfterMs)
      setLive({ state: 'stale', sinceMs: downSinceMs })
  }, 1_000)
  const poll = setInterval(() => {
    if (live.state === 'stale' && !document.hidden) void client.invalidateQueries()
  }, pollEveryMs)

  open()
  return () => {
    source?.close()
    clearInterval(watch)
    clearInterval(poll)
    clearTimeout(retry)
    for (const timer of timers.values()) clearTimeout(timer)
  }
}
