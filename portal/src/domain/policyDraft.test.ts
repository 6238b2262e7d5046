import { describe, expect, test } from 'vitest'
import type { Policy } from '../api/types.ts'
import { draftOf, emptyDraft, isWhole, type PolicyDraft, policyOf } from './policyDraft.ts'

const kindOf = (id: string) => (id.startsWith('g') ? 'Group' : 'User')
const draft = (change: Partial<PolicyDraft>): PolicyDraft => ({ ...emptyDraft, name: 'P', ...change })

describe('a draft comes back as it was written', () => {
  test.each<Partial<PolicyDraft>>([
    {},
    { who: 'privileged', grant: 'passkey', state: 'enabled' },
    { who: 'chosen', included: ['u1', 'g1'], excluded: ['u2', 'g2'], target: 'az', client: 'programs' },
    { where: 'untrusted', grant: 'block', deviceCodeOnly: true },
    { signInRisk: 'medium', userRisk: 'high' },
    { signInRisk: 'low' },
    { where: 'outside', places: ['p1'], frequency: '4' },
    { where: 'inside', places: ['p1', 'p2'], frequency: 'every', grant: 'none' },
    { frequency: '48', idleMinutes: '10', bound: true, client: 'browser', target: 'portal' },
  ])('%o', (change) => {
    const wanted = draft(change)
    expect(draftOf(policyOf(wanted, kindOf))).toEqual(wanted)
  })
})

test('what the form does not know stays', () => {
  const base: Policy = {
    id: 'x',
    displayName: 'Old',
    state: 'enabled',
    conditions: {
      users: { includeUsers: ['All'], excludeRoles: ['r1'] },
      applications: { includeApplications: ['All'], excludeApplications: ['a1'] },
      platforms: { includePlatforms: ['all'], excludePlatforms: ['linux'] },
      signInRiskLevels: ['high', 'none'],
    },
    grantControls: { operator: 'OR', builtInControls: [], authenticationStrength: { id: 'custom' } },
  }
  const edited = policyOf({ ...draftOf(base), name: 'New' }, kindOf, base)
  expect(edited.id).toBe('x')
  expect(edited.displayName).toBe('New')
  expect(edited.conditions?.platforms).toEqual(base.conditions?.platforms)
  expect(edited.conditions?.signInRiskLevels).toEqual(['high', 'none'])
  expect(edited.conditions?.users?.excludeRoles).toEqual(['r1'])
  expect(edited.conditions?.applications?.excludeApplications).toEqual(['a1'])
  expect(edited.grantControls?.authenticationStrength?.id).toBe('custom')
})

test.each<[Partial<PolicyDraft>, boolean]>([
  [{}, true],
  [{ name: ' ' }, false],
  [{ who: 'chosen' }, false],
  [{ where: 'outside' }, false],
  [{ grant: 'none' }, false],
  [{ grant: 'none', bound: true }, true],
])('%o can be tried: %s', (change, whole) => {
  expect(isWhole(draft(change))).toBe(whole)
})
