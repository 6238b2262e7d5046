import { describe, expect, test } from 'vitest'
import {
  desktopAddress,
  isAccount,
  placeOf,
  readDesktop,
  readRecording,
  readTarget,
  replayAddress,
  terminalAddress,
} from './bastion.ts'

const group = '/subscriptions/3e2c7a1e-0000-4000-8000-000000000001/resourceGroups/rg'
const machine = `${group}/providers/Microsoft.Compute/virtualMachines/vm`
const host = `${group}/providers/Microsoft.Network/bastionHosts/bh`
const session = '1b4e28ba-2fa1-41d2-883f-0016d3cca427'

test('the place of a host is the end of its name', () => {
  expect(placeOf(`bastion.example:8443/bastions/${session}`)).toBe(session)
  for (const other of [undefined, '', 'bastion.example', 'bastion.example/bastions/', 'x/bastions/../api'])
    expect(placeOf(other)).toBeUndefined()
})

describe('the address of a terminal', () => {
  const search = (target: Parameters<typeof terminalAddress>[0]) => terminalAddress(target).split('?')[1] ?? ''

  test('says who wants to be where', () => {
    const target = { machine, host, account: 'alice' }
    expect(readTarget(search(target))).toEqual(target)
  })

  test('says what is looked at, and only looked at unless it says otherwise', () => {
    const target = { machine, host, session, mode: 'interactive' } as const
    expect(readTarget(search(target))).toEqual(target)
    expect(readTarget(search(target).replace('interactive', 'anything'))).toEqual({ ...target, mode: 'readOnly' })
  })

  test.each([
    '',
    `machine=${host}&host=${host}&account=alice`,
    `machine=${machine}&host=${machine}&account=alice`,
    `machine=${machine}&host=${host}`,
    `machine=${machine}&host=${host}&account=-o`,
    `machine=${machine}&host=${host}&account=a%20b`,
    `machine=https://evil.example/&host=${host}&account=alice`,
  ])('leads nowhere: %s', (text) => {
    expect(readTarget(text)).toBeUndefined()
  })
})

describe('the address of a desktop', () => {
  const search = (target: Parameters<typeof desktopAddress>[0]) => desktopAddress(target).split('?')[1] ?? ''

  test.each([
    { machine, host, protocol: 'vnc' } as const,
    {
      machine,
      host,
      protocol: 'rdp',
      port: 3390,
      account: 'Administrator',
      domain: 'corp.example',
      kept: true,
    } as const,
    { machine, host, protocol: 'rdp', account: 'alice', place: session } as const,
    { machine, host, session, mode: 'interactive' } as const,
  ])('says what is asked for: %j', (target) => {
    expect(readDesktop(search(target))).toEqual(target)
  })

  test('holds no password, and takes none', () => {
    const target = { machine, host, protocol: 'rdp' } as const
    expect(readDesktop(`${search(target)}&password=secret`)).toEqual(target)
  })

  test.each([
    '',
    `machine=${machine}&host=${host}`,
    `machine=${machine}&host=${host}&protocol=ssh`,
    `machine=${machine}&host=${machine}&protocol=vnc`,
    `machine=${machine}&host=${host}&protocol=vnc&port=0`,
    `machine=${machine}&host=${host}&protocol=vnc&port=5900.5`,
    `machine=${machine}&host=${host}&protocol=vnc&port=65536`,
    `machine=${machine}&host=${host}&protocol=rdp&account=a%0Ab`,
    `machine=${machine}&host=${host}&protocol=rdp&account=`,
    `machine=${machine}&host=${host}&protocol=rdp&account=CORP%5Calice`,
    `machine=${machine}&host=${host}&protocol=rdp&domain=a%20b`,
  ])('leads nowhere: %s', (text) => {
    expect(readDesktop(text)).toBeUndefined()
  })
})

test('the address of a recording says where in it', () => {
  const target = { machine, recording: session, atMs: 4_200 }
  expect(readRecording(replayAddress(target).split('?')[1] ?? '')).toEqual(target)
  expect(readRecording(`machine=${machine}&recording=..%2Fx`)).toBeUndefined()
  expect(readRecording(`machine=${machine}&recording=${session}&at=-5`)).toEqual({ machine, recording: session })
})

test.each([
  ['alice', true],
  ['_svc', true],
  ['a.b-c_d', true],
  ['samba$', true],
  ['', false],
  ['0day', false],
  ['-oProxyCommand', false],
  ['a b', false],
  ['a/b', false],
  ['x'.repeat(33), false],
])('whether %j can be an account: %s', (text, is) => {
  expect(isAccount(text)).toBe(is)
})
