import { QueryClient } from '@tanstack/react-query'
import { afterEach, expect, test, vi } from 'vitest'
import { countWaiting } from './countWaiting.ts'

const subscription = '/subscriptions/s'
const waiting = (requestorId: string, more: object = {}) => ({
  virtualMachines: [{ id: '/vm/a', ports: [{ number: 22, state: 'pending' }] }],
  startTimeUtc: '2026-01',
  requestor: requestorId,
  sekisho: { id: '1', requestorId, reviews: [], history: [], ...more },
})
const policy = (name: string, requests: object[], group?: string) => ({
  id: `${subscription}/policies/${name}`,
  properties: { virtualMachines: [], requests, sekisho: { approval: { required: 1, group } } },
})

/** A server with these policies, of which some may be decided on; it tells what was asked. */
function serving(policies: object[], may: string[], groups: string[] = []) {
  const urls: string[] = []
  vi.stubGlobal(
    'fetch',
    vi.fn<typeof fetch>(async (input) => {
      const url = String(input)
      urls.push(url)
      if (url.includes('/explain?')) return Response.json({ allowed: may.some((name) => url.includes(`/${name}/`)) })
      if (url.endsWith('/checkMemberGroups')) return Response.json({ value: groups })
      return Response.json({ value: policies })
    }),
  )
  return urls
}

const count = () => countWaiting(new QueryClient(), subscription, 'me')

afterEach(() => vi.unstubAllGlobals())

test('what waits is counted for whoever has the right at its policy and is in its group', async () => {
  const requests = [waiting('eve'), waiting('mei')]
  const all = [policy('free', requests), policy('ours', requests, 'G1'), policy('theirs', requests, 'g2')]
  serving([...all, policy('forbidden', requests)], ['free', 'ours', 'theirs'], ['g1'])
  expect(await count()).toBe(4)
})

test('somebody for whom nothing can wait costs the one list', async () => {
  const urls = serving([policy('free', [waiting('me'), waiting('eve', { reviews: [{ by: { id: 'me' } }] })])], ['free'])
  expect(await count()).toBe(0)
  expect(urls).toHaveLength(1)
})

test('no group is asked about where none is named', async () => {
  const urls = serving([policy('free', [waiting('eve')])], ['free'])
  expect(await count()).toBe(1)
  expect(urls.filter((url) => url.includes('checkMemberGroups'))).toEqual([])
})

test('a question that is refused makes the number unknown, not smaller', async () => {
  serving([policy('free', [waiting('eve')])], ['free'])
  const fetched = vi.mocked(fetch)
  const answer = fetched.getMockImplementation()
  fetched.mockImplementation(async (url, init) =>
    String(url).includes('/explain?') ? new Response('', { status: 403 }) : (answer?.(url, init) ?? Response.error()),
  )
  await expect(count()).rejects.toMatchObject({ status: 403 })
})
