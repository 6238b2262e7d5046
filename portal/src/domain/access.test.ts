import { expect, test } from 'vitest'
import type { JitPolicy, JitState, Machine } from '../api/types.ts'
import {
  approversOf,
  asked,
  elevationsOf,
  endOf,
  hasOpen,
  isTheirs,
  isUndecidedBy,
  isUnused,
  isWaiting,
  left,
  mostMinutes,
  offersOf,
  sorted,
  stateOf,
  usageOf,
} from './access.ts'

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

test('more time waits for somebody else, and counts from when the port was opened', () => {
  const open = request('2026-11-26T12:00:00Z', port(22, 'active', '2026-11-26T13:00:00Z'))
  const history = [{ event: 'approve', at: '2026-11-26T12:30:00Z' }]
  const more = { ...open, sekisho: { ...open.sekisho, history, extension: { requestorId: 'mei', reviews: [] } } }
  const [item] = asked([policy(['/vm/a'], [more])])
  if (!item) throw new Error('there is one')
  expect([isWaiting(item), hasOpen(item), isTheirs(item, 'mei'), isTheirs(item, 'ken')]).toEqual([
    true,
    true,
    true,
    false,
  ])
  expect(mostMinutes(item, Date.parse('2026-11-26T13:00:30Z'))).toBe(149)
  expect(mostMinutes(item, Date.parse('2026-11-27T12:00:00Z'))).toBe(0)
})

test('a request, or more time, is undecided by those who neither asked for it nor have said yes', () => {
  const reviews = [{ by: { id: 'mei' } }]
  const made = (state: JitState, extras: object) => {
    const of = request('2026-01', port(22, state))
    const [item] = asked([policy(['/vm/a'], [{ ...of, sekisho: { ...of.sekisho, ...extras } }])])
    if (!item) throw new Error('there is one')
    return ['e', 'mei', 'ken', 'aya'].filter((person) => isUndecidedBy(item, person))
  }
  expect(made('pending', { reviews })).toEqual(['ken', 'aya'])
  // Whoever said yes to the request is asked again about more time.
  const extension = { requestorId: 'ken', reviews: [{ by: { id: 'aya' } }] }
  expect(made('active', { reviews, extension })).toEqual(['mei'])
  expect(made('active', { reviews: [] })).toEqual([])
  expect(approversOf(policy(['/vm/a']))).toBeUndefined()
})

test('what ports carried is added up, and what was open and carried nothing is unused', () => {
  const usage = (first: string, last: string) => ({
    firstUsedUtc: first,
    lastUsedUtc: last,
    connections: 2,
    packets: 9,
    bytes: 50,
  })
  const was = (...ports: object[]) => ({
    ...request('2026-01'),
    virtualMachines: [{ id: '/vm/a', ports }],
    sekisho: { ...request('2026-01').sekisho, history: [{ event: 'approve', at: '2026-01' }] },
  })
  const one = (made: object) => {
    const [item] = asked([policy(['/vm/a'], [made])])
    if (!item) throw new Error('there is one')
    return item
  }
  const used = one(
    was({ ...port(22, 'expired'), usage: usage('b', 'c') }, { ...port(80, 'expired'), usage: usage('a', 'b') }),
  )
  expect(usageOf(used)).toEqual({ first: 'a', last: 'c', connections: 4, bytes: 100 })
  expect(isUnused(used)).toBe(false)
  expect(isUnused(one(was(port(22, 'expired'))))).toBe(true)
  expect(isUnused(one(was(port(22, 'active'))))).toBe(false)
  expect(isUnused(one(request('2026-01', port(22, 'denied'))))).toBe(false)
})

test('what users are given counts as ports do, and nobody says how much it was used', () => {
  const elevation = (kind: string, state: JitState, endTimeUtc: string) => ({ kind, user: 'eve', state, endTimeUtc })
  const made = {
    ...request('2026-11-26T12:00:00Z'),
    virtualMachines: [
      {
        id: '/vm/a',
        ports: [],
        sekisho: { elevations: [elevation('sudo', 'active', '2'), elevation('account', 'expired', '3')] },
      },
    ],
    sekisho: { ...request('').sekisho, history: [{ event: 'approve', at: '2026-11-26T12:00:00Z' }] },
  }
  const offering = policy(['/vm/a'], [made])
  offering.properties.sekisho = { sudo: { maxRequestAccessDuration: 'PT1H' } }
  const [item] = asked([offering])
  if (!item) throw new Error('there is one')
  expect([hasOpen(item), stateOf(item), endOf(item), isUnused(item)]).toEqual([true, 'active', '2', false])
  expect(elevationsOf(item.request).map(({ kind }) => kind)).toEqual(['sudo', 'account'])
  expect(mostMinutes(item, Date.parse('2026-11-26T12:20:00Z'))).toBe(40)
  expect(offersOf(offering)).toEqual({
    sudo: { maxRequestAccessDuration: 'PT1H' },
    account: undefined,
    login: undefined,
  })
})

test('what is left is counted down to nothing', () => {
  const end = '2026-11-26T12:00:00Z'
  const before = (seconds: number) => Date.parse(end) - seconds * 1000
  expect(left(end, before(3_723))).toBe('1:02:03')
  expect(left(end, before(0.2))).toBe('0:00:01')
  expect(left(end, before(0))).toBeUndefined()
  expect(left('', 0)).toBeUndefined()
})
