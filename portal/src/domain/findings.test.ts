import { expect, test } from 'vitest'
import type { RuleAnalysis, RuleFinding } from '../api/types.ts'
import { findingsOf, isTooLarge } from './findings.ts'

const finding = (
  rule: string,
  priority: number,
  state: RuleFinding['state'],
  conflicts: string[] = [],
): RuleFinding => ({
  rule,
  priority,
  access: 'Allow',
  state,
  by: ['first'],
  lost: [],
  lostIsAll: true,
  conflicts: conflicts.map((name) => ({
    with: name,
    witness: { protocol: 'Tcp', sourceAddress: '10.0.0.1', destinationAddress: '10.0.0.2' },
  })),
})
const analysis = (...inbound: (RuleFinding[] | null)[]): RuleAnalysis => ({
  isAll: true,
  views: inbound.map((list) => ({ interfaces: 1, inbound: list, outbound: [] })),
})

test('a rule that decides somewhere is not said never to decide', () => {
  const both = analysis([finding('a', 100, 'shadowed')], [finding('a', 100, 'partlyShadowed')])
  expect(findingsOf(both, 'inbound').get('a')?.state).toBe('partlyShadowed')
  expect(findingsOf(both, 'outbound').size).toBe(0)
})

test('the rules that every group has are neither found fault with nor contradicted', () => {
  const one = analysis([
    finding('a', 100, 'effective', ['b', 'DenyAllInBound']),
    finding('b', 200, 'effective'),
    finding('DenyAllInBound', 65500, 'effective'),
  ])
  const found = findingsOf(one, 'inbound')
  expect([...found.keys()]).toEqual(['a', 'b'])
  expect(found.get('a')?.conflicts.map((conflict) => conflict.with)).toEqual(['b'])
})

test('nothing is said of rules that are too many', () => {
  const large = analysis(null, [finding('a', 100, 'shadowed')])
  expect(findingsOf(large, 'inbound').size).toBe(0)
  expect(isTooLarge(large)).toBe(true)
  expect(isTooLarge(undefined)).toBe(false)
})
