import { expect, test } from 'vitest'
import type { SecurityGroup, SecurityRuleProperties } from '../api/types.ts'
import { exposures, sensitivePorts } from './exposure.ts'

const base: SecurityRuleProperties = {
  protocol: 'Tcp',
  sourcePortRange: '*',
  sourceAddressPrefix: '*',
  destinationAddressPrefix: '*',
  destinationPortRange: '22',
  access: 'Allow',
  priority: 100,
  direction: 'Inbound',
}

const group = (...rules: Partial<SecurityRuleProperties>[]): SecurityGroup => ({
  id: '/nsg',
  name: 'nsg',
  type: 'Microsoft.Network/networkSecurityGroups',
  location: 'x',
  etag: 'e',
  properties: {
    provisioningState: 'Succeeded',
    defaultSecurityRules: [],
    securityRules: rules.map((rule, index) => ({
      id: `/nsg/securityRules/r${index}`,
      name: `r${index}`,
      properties: { ...base, priority: 100 + index, ...rule },
    })),
  },
})

const ports = (...rules: Partial<SecurityRuleProperties>[]) =>
  exposures(group(...rules)).flatMap((exposure) => exposure.ports)

test.each([
  [[{}], [22]],
  [[{ sourceAddressPrefix: 'Internet', destinationPortRange: '3380-3400' }], [3389]],
  [[{ sourceAddressPrefix: '10.0.0.0/8' }], []],
  [[{ access: 'Deny' as const }], []],
  [[{ direction: 'Outbound' as const }], []],
  [[{ protocol: 'Icmp', destinationPortRange: '*' }], []],
  [[{ destinationPortRange: '443' }], []],
  [[{ destinationPortRange: undefined, destinationPortRanges: ['80', '5432'] }], [5432]],
  [[{ sourceApplicationSecurityGroups: [{ id: '/asg' }], sourceAddressPrefix: undefined }], []],
  [[{ access: 'Deny' as const }, {}], []],
  [[{ access: 'Deny' as const, destinationAddressPrefix: '10.0.0.4' }, {}], [22]],
])('%j', (rules, expected) => expect(ports(...rules)).toEqual(expected))

test('a rule for every port exposes all of them', () =>
  expect(ports({ protocol: '*', destinationPortRange: '*' })).toEqual([...sensitivePorts]))
