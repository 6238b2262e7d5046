import { expect, test } from 'vitest'
import type { RuleEffect } from '../api/types.ts'
import { groupEffects } from './effects.ts'

const effect = (name: string, nic = 'eth0'): RuleEffect => ({
  kind: 'added',
  interface: nic,
  direction: 'Inbound',
  stage: 'nic',
  rule: {
    name,
    priority: 100,
    access: 'Allow',
    protocol: 'Tcp',
    source: ['*'],
    destination: ['*'],
    sourcePorts: ['*'],
    destinationPorts: ['22'],
  },
})

const machine = (name: string, ...changes: RuleEffect[]) => ({
  id: `/${name}`,
  name,
  online: true,
  generation: 1,
  traffic: [],
  changes,
  access: [],
})

test('machines with the same effects are one group, whatever their interfaces are called', () => {
  const groups = groupEffects([
    machine('a', effect('ssh')),
    machine('b', effect('web')),
    machine('c', effect('web', 'ens3')),
    machine('untouched'),
  ])
  expect(groups.map((group) => group.machines.map((item) => item.name))).toEqual([['b', 'c'], ['a']])
})

test('machines on which the same rules do something else to packets are not one group', () => {
  const denied = { direction: 'Inbound' as const, interface: 'eth0', difference: null }
  const groups = groupEffects([machine('a', effect('ssh')), { ...machine('b', effect('ssh')), traffic: [denied] }])
  expect(groups.map((group) => group.machines.length)).toEqual([1, 1])
})
