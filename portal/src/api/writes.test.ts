import { expect, test } from 'vitest'
import { together } from './writes.ts'
import type { WhatIf } from './types.ts'

const machine = (id: string): WhatIf['machines'][number] => ({
  id,
  name: id,
  online: true,
  generation: 1,
  changes: [],
  traffic: [],
})
const answer = (machines: string[], otherMachines: number): WhatIf => ({
  changes: [],
  machines: machines.map(machine),
  otherMachines,
  rights: [],
  otherRights: 0,
})

test('a machine that two writes touch appears once', () => {
  expect(together([answer(['/A', '/b'], 0), answer(['/a'], 0)]).machines.map(({ id }) => id)).toEqual(['/A', '/b'])
})

test('machines that may not be seen are counted, and not twice', () => {
  expect(together([answer([], 2), answer([], 3)]).otherMachines).toBe(3)
  expect(together([]).otherMachines).toBe(0)
})
