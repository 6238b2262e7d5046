import { expect, test } from 'vitest'
import { nameOf, parseArmId, sameId, splitTab } from './armId.ts'

const nsg = '/subscriptions/5f1c/resourceGroups/rg-web/providers/Microsoft.Network/networkSecurityGroups/nsg-web'

test.each([
  [nsg, 'microsoft.network/networksecuritygroups', 'nsg-web', '/subscriptions/5f1c/resourceGroups/rg-web'],
  [`${nsg}/securityRules/allow-ssh`, 'microsoft.network/networksecuritygroups/securityrules', 'allow-ssh', nsg],
  [`${nsg}/providers/Microsoft.Authorization/roleAssignments/1`, 'microsoft.authorization/roleassignments', '1', nsg],
  ['/subscriptions/5f1c', 'microsoft.resources/subscriptions', '5f1c', undefined],
  ['/subscriptions/5f1c/resourceGroups/rg', 'microsoft.resources/resourcegroups', 'rg', '/subscriptions/5f1c'],
  ['/providers/Microsoft.Authorization/roleDefinitions/9', 'microsoft.authorization/roledefinitions', '9', undefined],
])('%s', (id, type, name, parent) => {
  const parsed = parseArmId(id)
  expect(parsed).toMatchObject({ id, type, name })
  expect(parsed?.parent).toBe(parent)
})

test('a pasted id may carry spaces around and a trailing slash', () => {
  expect(parseArmId(`  ${nsg}/ `)?.id).toBe(nsg)
  expect(parseArmId(nsg)?.resourceGroup).toBe('rg-web')
  expect(parseArmId(nsg)?.subscriptionId).toBe('5f1c')
})

test.each([
  '',
  'web-01',
  '/subscriptions',
  `${nsg}/securityRules`,
  '/machines/web',
  '/subscriptions//resourceGroups/x',
  `${nsg}?x=1`,
])('not an id: %s', (text) => expect(parseArmId(text)).toBeUndefined())

test('the odd last segment is the tab', () => {
  expect(splitTab(nsg.slice(1))).toEqual({ id: nsg })
  expect(splitTab(`${nsg}/activity`)).toEqual({ id: nsg, tab: 'activity' })
})

test('ids compare without case', () => {
  expect(sameId(nsg, nsg.toUpperCase())).toBe(true)
  expect(sameId(undefined, undefined)).toBe(false)
  expect(nameOf(nsg)).toBe('nsg-web')
})
