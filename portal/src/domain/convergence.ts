import type { Machine } from '../api/types.ts'

/** A machine that a change concerns: which generation it was to have before, and how far it is with the next. */
export type Follower = { name: string; generation: number; state: FollowerState }
export type FollowerState = 'waiting' | 'obeys' | 'failed' | 'away' | 'gone'

type Seen = Pick<Machine, 'status' | 'network'>

/**
 * How far a machine is with what was wanted of it after `generation`. `settled` says that the server had the time to
 * make that: when it made nothing new, because changes cancelled each other out, the machine obeys already.
 */
export function follow({ generation, state }: Follower, seen: Seen | undefined, settled: boolean): FollowerState {
  // What was reached stays reached, whatever later changes want.
  if (state === 'obeys') return state
  if (!seen) return 'gone'
  const made = seen.network.generation > generation
  if (made && (seen.network.state === 'failed' || seen.network.state === 'reverted')) return 'failed'
  if (seen.network.state === 'applied' && (made || settled)) return 'obeys'
  return seen.status === 'online' ? 'waiting' : 'away'
}

export function countFollowers(followers: readonly Follower[]) {
  const count = { waiting: 0, obeys: 0, failed: 0, away: 0, gone: 0 }
  for (const { state } of followers) count[state] += 1
  return count
}
