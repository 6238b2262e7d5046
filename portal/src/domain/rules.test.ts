import { describe, expect, test } from 'vitest'
import type { SecurityRule } from '../api/types.ts'
import { prefixProblem } from './address.ts'
import { checkDraft, draftOf, hasProblem, newDraft, propertiesOf, type RuleDraft } from './rules.ts'

const rule = (name: string, priority: number, direction: 'Inbound' | 'Outbound' = 'Inbound'): SecurityRule => ({
  id: `/x/securityRules/${name}`,
  name,
  properties: {
    protocol: 'Tcp',
    sourcePortRange: '*',
    destinationPortRange: '22',
    sourceAddressPrefix: '10.0.0.0/8',
    destinationAddressPrefix: '*',
    access: 'Allow',
    priority,
    direction,
  },
})

const rules = [rule('allow-ssh', 100), rule('allow-out', 200, 'Outbound')]
const good: RuleDraft = { ...draftOf(rule('allow-web', 110)), destinationPorts: '80, 443', sourcePorts: '*' }

const problemOf = (over: Partial<RuleDraft>, field: keyof RuleDraft) =>
  checkDraft({ ...good, ...over }, 'Inbound', rules)[field]?.problem
const source = (addresses: string) => ({ ...good.source, kind: 'ip' as const, addresses })

test('a good draft has no problem', () => expect(hasProblem(checkDraft(good, 'Inbound', rules))).toBe(false))

describe('problems', () => {
  test.each([
    ['name', { name: '' }, 'nameEmpty'],
    ['name', { name: '-x' }, 'nameSyntax'],
    ['name', { name: 'a'.repeat(81) }, 'nameSyntax'],
    ['name', { name: 'ALLOW-SSH' }, 'nameTaken'],
    ['priority', { priority: '99' }, 'priorityRange'],
    ['priority', { priority: '4097' }, 'priorityRange'],
    ['priority', { priority: '1e3' }, 'priorityRange'],
    ['priority', { priority: '100' }, 'priorityTaken'],
    ['priority', { priority: '200' }, undefined],
    ['destinationPorts', { destinationPorts: '' }, 'portsEmpty'],
    ['destinationPorts', { destinationPorts: '65536' }, 'portsSyntax'],
    ['destinationPorts', { destinationPorts: '90-80' }, 'portsSyntax'],
    ['destinationPorts', { destinationPorts: '22,*' }, 'portsSyntax'],
    ['destinationPorts', { destinationPorts: '80、443 8000-8100' }, undefined],
    ['destinationPorts', { protocol: 'Icmp' }, 'portsWithProtocol'],
    ['source', { source: source('') }, 'addressesEmpty'],
    ['source', { source: source('10.0.0.1/8') }, 'addressHostBits'],
    ['source', { source: source('10.0.0.0/33') }, 'addressLength'],
    ['source', { source: source('10.0.0.256') }, 'addressSyntax'],
    ['source', { source: source('2001:db8::/32, 203.0.113.9') }, undefined],
    ['source', { source: { ...good.source, kind: 'asg' } }, 'asgEmpty'],
    ['description', { description: 'x'.repeat(141) }, 'descriptionLong'],
  ] as const)('%s %j', (field, over, expected) => expect(problemOf(over, field)).toBe(expected))
})

test('editing a rule does not conflict with itself', () => {
  const own = rule('allow-ssh', 100)
  expect(hasProblem(checkDraft(draftOf(own), 'Inbound', rules, 'Allow-SSH'))).toBe(false)
})

test.each([
  [{ sourceAddressPrefix: '*' }, 'any'],
  [{ sourceAddressPrefix: 'Internet' }, 'tag'],
  [{ sourceAddressPrefix: undefined, sourceAddressPrefixes: ['10.0.0.0/8', '192.0.2.1'] }, 'ip'],
  [{ sourceAddressPrefix: undefined, sourceApplicationSecurityGroups: [{ id: '/a' }] }, 'asg'],
] as const)('a rule survives the editor: %j', (over, kind) => {
  const before = rule('r', 100)
  Object.assign(before.properties, over)
  const draft = draftOf(before)
  expect(draft.source.kind).toBe(kind)
  expect(propertiesOf(draft, 'Inbound')).toEqual(JSON.parse(JSON.stringify(before.properties)))
})

test('a new rule gets the next free priority', () => {
  expect(newDraft(rules, 'Inbound').priority).toBe('110')
  expect(newDraft([], 'Inbound').priority).toBe('100')
  expect(newDraft([rule('last', 4096)], 'Inbound').priority).toBe('4095')
})

test.each([
  ['10.0.0.0/8', undefined],
  ['0.0.0.0/0', undefined],
  ['10.1.0.0/15', 'hostBits'],
  ['010.0.0.1', 'syntax'],
  ['::/0', undefined],
  ['::ffff:192.0.2.1', undefined],
  ['2001:db8::1/32', 'hostBits'],
  ['2001:db8:::1', 'syntax'],
  ['1:2:3:4:5:6:7:8:9', 'syntax'],
  ['fe80::1/129', 'length'],
  ['', 'syntax'],
] as const)('prefix %s', (text, problem) => expect(prefixProblem(text)).toBe(problem))
