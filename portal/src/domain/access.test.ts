import { expect, test } from 'vitest'
import type { JitPolicy, JitState, Machine } from '../api/types.ts'
import { asked, endOf, hasOpen, isWaiting, left, sorted, stateOf } from './access.ts'

const port = (number: number, state: JitState, endTimeUtc?: string) => ({
  number,
  allowedSourceAddressPrefix: '192.0.2.1',
  endTimeUtc,
  status: 'Initiated',
  statusReason: 'UserRequested',
  state,
})
const request = (startTimeUtc: string, ...ports: ReturnType<typeof port>[]) => ({
  virtualMachines: [{ id: '/vm/a', ports }],
  startTimeUtc,
  requestor: 'eve',
  sekisho: { id: startTimeUtc, requestorId: 'e', reviews: [], history: [] },
})
const policy = (ids: string[], requests: object[] = []) =>
  ({
    id: `/policy/${ids.join('-')}`,
    properties: {
      virtualMachines: ids.map((id) => ({
        id,
        ports: [
          { number: 22, protocol: '*', allowedSourceAddressPrefixes: ['a', 'b'], maxRequestAccessDuration: 'PT3H' },
        ],
      })),
      requests,
    },
  }) as unknown as JitPolicy
const machine = (id: string, nics: number) => ({ id, name: id.split('/').at(-1), nics }) as Machine

test('machines are guarded, not guarded, or cannot be; one of several policies appears once', () => {
  const found = sorted(
    [policy(['/vm/B', '/vm/gone']), policy(['/vm/b'])],
    [machine('/vm/b', 1), machine('/vm/a', 1), machine('/vm/new', 0)],
  )
  expect(found.configured.map(({ name, ports }) => [name, ports.length])).toEqual([['b', 2]])
  expect(found.configured[0]?.ports[0]?.allowed).toBe('a, b')
  expect(found.open.map(({ name }) => name)).toEqual(['a'])
  expect(found.unsupported.map(({ name }) => name)).toEqual(['gone', 'new'])
})

test('a request is what is open of it, and history of elsewhere is none', () => {
  const imported = { virtualMachines: [], startTimeUtc: '2099', requestor: 'x' }
  const all = asked([
    policy(['/vm/a'], [imported, request('2026-01', port(22, 'expired', '1'), port(80, 'active', '3'))]),
    policy(['/vm/b'], [request('2026-02', port(22, 'pending'))]),
  ])
  expect(all.map(({ request: { sekisho } }) => sekisho.id)).toEqual(['2026-02', '2026-01'])
  expect(all.map((item) => [isWaiting(item), hasOpen(item), stateOf(item), endOf(item)])).toEqual([
    [true, false, 'pending', undefined],
    [false, true, 'active', '3'],
  ])
})

test('what is left is counted down to nothing', () => {
  const end = '2026-11-26T12:00:00Z'
  const before = (seconds: number) => Date.parse(end) - seconds * 1000
  expect(left(end, before(3_723))).toBe('1:02:03')
  expect(left(end, before(0.2))).toBe('0:00:01')
  expect(left(end, before(0))).toBeUndefined()
  expect(left('', 0)).toBeUndefined()
})
