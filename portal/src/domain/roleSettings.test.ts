import { expect, test } from 'vitest'
import { type RoleSettings, rulesOf, settingsOf } from './roleSettings.ts'

test('settings survive the way to the server and back', () => {
  const settings: RoleSettings = {
    minutes: 90,
    bound: false,
    multiFactor: true,
    passkey: true,
    justification: false,
    ticket: true,
    pattern: 'INC-[0-9]+',
    approval: true,
    approvers: ['a', 'b'],
    yeses: 2,
  }
  expect(settingsOf(rulesOf(settings, () => false))).toEqual(settings)
})

test('what the server does not say is what it takes for it', () => {
  expect(settingsOf([])).toMatchObject({ minutes: 480, bound: true, approval: false, yeses: 1 })
})
