import { expect, test } from 'vitest'
import type { Machine } from '../api/types.ts'
import { countFollowers, follow, type Follower, type FollowerState } from './convergence.ts'

type Network = Machine['network']['state']

const follower = (state: FollowerState = 'waiting'): Follower => ({ name: 'web', generation: 6, state })
const seen = (generation: number, state: Network, status: Machine['status'] = 'online') => ({
  status,
  network: { generation, applied: state === 'applied' ? generation : null, state, message: '' },
})

test('a machine obeys once it has applied a later generation', () => {
  expect(follow(follower(), seen(6, 'applied'), false)).toBe('waiting')
  expect(follow(follower(), seen(7, 'pending'), false)).toBe('waiting')
  expect(follow(follower(), seen(7, 'applied'), false)).toBe('obeys')
  expect(follow(follower(), seen(9, 'applied'), false)).toBe('obeys')
})

test('what a machine has reached, a later change does not take back', () => {
  expect(follow(follower('obeys'), seen(8, 'pending'), false)).toBe('obeys')
  expect(follow(follower('obeys'), undefined, false)).toBe('obeys')
})

test('an old failure is no answer, a new one is', () => {
  expect(follow(follower(), seen(6, 'failed'), false)).toBe('waiting')
  expect(follow(follower(), seen(7, 'failed'), false)).toBe('failed')
  expect(follow(follower(), seen(7, 'reverted'), false)).toBe('failed')
  expect(follow(follower('failed'), seen(8, 'applied'), false)).toBe('obeys')
})

test('a machine that is not online is away, one that was retired is gone', () => {
  expect(follow(follower(), seen(7, 'pending', 'offline'), false)).toBe('away')
  expect(follow(follower(), seen(7, 'pending', 'stale'), false)).toBe('away')
  expect(follow(follower('away'), seen(7, 'pending'), false)).toBe('waiting')
  expect(follow(follower(), undefined, false)).toBe('gone')
})

test('changes that cancelled each other out are obeyed without a new generation', () => {
  expect(follow(follower(), seen(6, 'applied'), true)).toBe('obeys')
  expect(follow(follower(), seen(6, 'pending'), true)).toBe('waiting')
})

test('the machines are counted by how far they are', () => {
  expect(countFollowers([follower(), follower('obeys'), follower('obeys')])).toEqual({
    waiting: 1,
    obeys: 2,
    failed: 0,
    away: 0,
    gone: 0,
  })
})
