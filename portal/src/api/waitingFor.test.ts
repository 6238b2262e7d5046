import { QueryClient, QueryObserver } from '@tanstack/react-query'
import { afterEach, expect, test, vi } from 'vitest'
import { types } from './keys.ts'
import { jitQueries } from './queries/jit.ts'
import { jitWaiting } from './queries/jitWaiting.ts'
import { waitingFor } from './waitingFor.ts'

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

const found = () => waitingFor(new QueryClient(), subscription, 'me')

afterEach(() => vi.unstubAllGlobals())

test('what waits is found for whoever has the right at its policy and is in its group', async () => {
  const requests = [waiting('eve'), waiting('mei')]
  const all = [policy('free', requests), policy('ours', requests, 'G1'), policy('theirs', requests, 'g2')]
  serving([...all, policy('forbidden', requests)], ['free', 'ours', 'theirs'], ['g1'])
  expect(await found()).toEqual(['1', '1', '1', '1'])
})

test('somebody for whom nothing can wait costs the one list', async () => {
  const urls = serving([policy('free', [waiting('me'), waiting('eve', { reviews: [{ by: { id: 'me' } }] })])], ['free'])
  expect(await found()).toEqual([])
  expect(urls).toHaveLength(1)
})

test('no group is asked about where none is named', async () => {
  const urls = serving([policy('free', [waiting('eve')])], ['free'])
  expect(await found()).toEqual(['1'])
  expect(urls.filter((url) => url.includes('checkMemberGroups'))).toEqual([])
})

test('a question that is refused makes the list unknown, not shorter', async () => {
  serving([policy('free', [waiting('eve')])], ['free'])
  const fetched = vi.mocked(fetch)
  const answer = fetched.getMockImplementation()
  fetched.mockImplementation(async (url, init) =>
    String(url).includes('/explain?') ? new Response('', { status: 403 }) : (answer?.(url, init) ?? Response.error()),
  )
  await expect(found()).rejects.toMatchObject({ status: 403 })
})

test('one request for the list serves the page and what waits, also after an event', async () => {
  const urls = serving([policy('free', [waiting('me')])], [])
  const client = new QueryClient({ defaultOptions: { queries: { staleTime: 30_000, retry: false } } })
  const waits = new QueryObserver(client, jitWaiting(subscription, 'me'))
  const page = new QueryObserver(client, jitQueries.policies(subscription))
  const stop = [waits.subscribe(() => {}), page.subscribe(() => {})]
  await vi.waitFor(() => expect([waits.getCurrentResult().data, page.getCurrentResult().isSuccess]).toEqual([[], true]))
  expect(urls).toHaveLength(1)

  serving([policy('free', [waiting('eve')])], ['free'])
  const before = vi.mocked(fetch)
  await client.invalidateQueries({ queryKey: [types.jit] })
  expect(waits.getCurrentResult().data).toEqual(['1'])
  expect(before.mock.calls.filter(([url]) => String(url).includes('jitNetworkAccessPolicies?'))).toHaveLength(1)
  for (const end of stop) end()
})
