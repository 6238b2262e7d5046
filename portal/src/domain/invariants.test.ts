import { describe, expect, test } from 'vitest'
import { checkInvariant, invariantDraft, invariantProperties, newInvariant } from './invariants.ts'

describe('an invariant', () => {
  const draft = {
    ...newInvariant,
    name: 'no-rdp',
    destination: { ...newInvariant.destination, machineTags: 'env=prod' },
  }

  test('is sent as it was meant, and read back as it was typed', () => {
    const properties = invariantProperties(draft)
    expect(properties).toEqual({
      must: 'Deny',
      enforcement: 'enforce',
      protocol: 'Tcp',
      sourceAddressPrefix: 'Internet',
      destinationMachineTags: { env: 'prod' },
      destinationPortRanges: ['22', '3389'],
    })
    expect(invariantDraft({ name: 'no-rdp', properties })).toEqual(draft)
  })

  test('is about all machines when no tag is named', () => {
    expect(invariantProperties(newInvariant)).toMatchObject({ destinationMachineTags: {} })
  })

  test('is refused without machines, and with a tag that has no value', () => {
    const anyone = { ...draft, destination: { ...draft.destination, kind: 'any' as const } }
    expect(checkInvariant(anyone, []).destination).toEqual({ problem: 'noMachines' })
    const bare = { ...draft, destination: { ...draft.destination, machineTags: 'prod' } }
    expect(checkInvariant(bare, []).destination).toEqual({ problem: 'machineTagSyntax', text: 'prod' })
    expect(checkInvariant(draft, ['NO-RDP']).name).toEqual({ problem: 'nameTaken' })
  })
})
