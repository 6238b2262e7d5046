import { ApiError } from '../api/errors.ts'
import type { Machine } from '../api/types.ts'
import type { Reviewed, Send, Write } from '../api/writes.ts'
import { countFollowers, follow, type Follower } from '../domain/convergence.ts'
import { createStore } from './store.ts'

/** What was written from this tab, as long as the tab lives: it survives a reload. */
export type Operation = {
  id: string
  /** The first write's: several that were reviewed together are one operation. */
  operation: string
  target: Write['target']
  more: number
  startedAt: string
  /** `lost` was on its way when the page was reloaded: nobody heard the answer. */
  state: 'sending' | 'applying' | 'done' | 'failed' | 'lost'
  endedAt?: string
  error?: StoredError
  /** By lower-case id. They are forgotten once they all have followed. */
  machines?: Record<string, Follower>
  total: number
  obeying: number
  away: number
  failing: number
  /** The generation that makes a machine obey, when it is the same for all. */
  generation?: number
  /** Machines that the person may not see: nobody tells how far they are. */
  unseen: number
}
type StoredError = { status: number; code: string; message: string; requestId?: string }

const key = 'sekisho.operations'
const kept = 50
/** A server has compiled what a change asks of thousands of machines long before. */
const settledAfterMs = 60_000

function restored(): Operation[] {
  try {
    const operations = JSON.parse(sessionStorage.getItem(key) ?? '[]') as Operation[]
    return operations.map((item) => (item.state === 'sending' ? { ...item, state: 'lost' } : item))
  } catch {
    return []
  }
}

const operations = createStore<readonly Operation[]>(restored())

export const useOperations = operations.use
export const getOperations = operations.get

function keep(next: readonly Operation[]) {
  operations.set(next.slice(0, kept))
  try {
    sessionStorage.setItem(key, JSON.stringify(operations.get()))
  } catch {
    // Private mode, or too much: then it lasts until the next reload.
  }
}

const change = (id: string, how: (old: Operation) => Operation) =>
  keep(operations.get().map((item) => (item.id === id ? how(item) : item)))

export const isUnderWay = ({ state }: Operation) => state === 'sending' || state === 'applying'

export const forgetEnded = () => keep(operations.get().filter(isUnderWay))

export const errorOf = ({ status, code, message, requestId }: StoredError) =>
  new ApiError(status, { error: { code, message } }, new Headers(requestId ? { 'x-ms-request-id': requestId } : {}))

function stored(error: unknown): StoredError {
  if (error instanceof ApiError) {
    const { status, code, message, requestId } = error
    return { status, code, message, requestId }
  }
  return { status: 0, code: 'PortalError', message: error instanceof Error ? error.message : String(error) }
}

const now = () => new Date().toISOString()

/** Does what was reviewed, and keeps in the tray what comes of it. */
export async function carryOut<T>(reviewed: Reviewed, run: (send: Send) => Promise<T>): Promise<T> {
  const [first] = reviewed.writes
  if (!first) throw new Error('nothing to do')
  const { machines, otherMachines } = reviewed.preview
  const followers = machines
    .filter((machine) => machine.changes.length > 0)
    .map(({ id, name, generation }) => [id.toLowerCase(), { name, generation, state: 'waiting' } as const] as const)
  const id = crypto.randomUUID()
  const generations = new Set(followers.map(([, machine]) => machine.generation + 1))
  const generation = generations.size === 1 ? [...generations][0] : undefined
  const counts = { total: followers.length, obeying: 0, away: 0, failing: 0, unseen: otherMachines, generation }
  const { operation, target } = first
  const more = reviewed.writes.length - 1
  keep([{ id, operation, target, more, startedAt: now(), state: 'sending', ...counts }, ...operations.get()])
  try {
    const answer = await run(reviewed.send)
    change(id, (old) =>
      followers.length > 0
        ? { ...old, state: 'applying', machines: Object.fromEntries(followers) }
        : { ...old, state: 'done', endedAt: now() },
    )
    return answer
  } catch (error) {
    change(id, (old) => ({ ...old, state: 'failed', endedAt: now(), error: stored(error) }))
    throw error
  }
}

/** What the server showed of a subscription's machines, for every operation that they still follow. */
export function followMachines(subscriptionId: string, rows: readonly Machine[], readAtMs: number) {
  const byId = new Map(rows.map((row) => [row.id.toLowerCase(), row]))
  const mine = `${subscriptionId.toLowerCase()}/`
  const followed = operations.get().map((item) => {
    if (item.state !== 'applying') return item
    const settled = readAtMs - Date.parse(item.startedAt) > settledAfterMs
    const machines = Object.entries(item.machines ?? {}).map(([id, machine]) => {
      const state = id.startsWith(mine) ? follow(machine, byId.get(id), settled) : machine.state
      return [id, { ...machine, state }] as const
    })
    return advanced(item, machines)
  })
  keep(followed)
}

function advanced(old: Operation, machines: (readonly [string, Follower])[]): Operation {
  const { waiting, obeys, failed, away, gone } = countFollowers(machines.map(([, machine]) => machine))
  const next = { ...old, total: machines.length - gone, obeying: obeys, away, failing: failed }
  if (waiting > 0) return { ...next, machines: Object.fromEntries(machines) }
  const left = machines.filter(([, { state }]) => state === 'failed' || state === 'away')
  return { ...next, state: failed > 0 ? 'failed' : 'done', endedAt: now(), machines: Object.fromEntries(left) }
}

/** Where the machines are that an operation still waits for. */
export const followedSubscriptions = (all: readonly Operation[]) => [
  ...new Set(
    all
      .filter(({ state }) => state === 'applying')
      .flatMap(({ machines = {} }) => Object.keys(machines).map((id) => id.split('/').slice(0, 3).join('/'))),
  ),
]
