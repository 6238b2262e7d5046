import { expect, test } from 'vitest'
import type { Machine } from '../api/types.ts'
import { filterMachines, formatTerm, parseTerm, parseTerms, sortBy } from './machineFilter.ts'

const machine = (name: string, over: Partial<Machine> = {}): Machine => ({
  id: `/subscriptions/s/resourceGroups/rg-web/providers/Microsoft.Compute/virtualMachines/${name}`,
  name,
  resourceGroup: 'rg-web',
  location: 'onprem-tyo',
  tags: {},
  os: { name: 'Debian', version: '13', prettyName: 'Debian GNU/Linux 13' },
  kernel: '6.12.0',
  addresses: ['10.0.0.4'],
  status: 'online',
  lastReportAt: null,
  agentVersion: '0.1.0',
  cpus: 2,
  memoryBytes: 2 ** 32,
  nics: 1,
  nsgs: [],
  network: { generation: 1, applied: 1, state: 'applied', message: '' },
  ...over,
})

const fleet = [
  machine('web-1', { tags: { env: 'prod' }, nsgs: ['/subscriptions/s/x/NSG-Web'] }),
  machine('web-2', { status: 'offline', tags: { env: 'dev' } }),
  machine('db-1', {
    resourceGroup: 'rg-db',
    os: { name: 'RHEL', version: '9', prettyName: 'RHEL 9' },
    addresses: ['10.0.1.9'],
  }),
]

const names = (query: string, ...terms: string[]) =>
  filterMachines(fleet, query, parseTerms(terms)).rows.map((row) => row.name)

test.each([
  ['', [], ['web-1', 'web-2', 'db-1']],
  ['10.0.1', [], ['db-1']],
  ['web prod', [], ['web-1']],
  ['', ['status:offline'], ['web-2']],
  ['', ['-status:offline'], ['web-1', 'db-1']],
  ['', ['status:offline', 'status:online'], ['web-1', 'web-2', 'db-1']],
  ['', ['status:online', 'group:rg-db'], ['db-1']],
  ['', ['nsg:none'], ['web-2', 'db-1']],
  ['', ['nsg:nsg-web'], ['web-1']],
  ['', ['-tag:env=dev'], ['web-1', 'db-1']],
] as const)('query %j, terms %j', (query, terms, expected) => expect(names(query, ...terms)).toEqual(expected))

test('a facet counts its own alternatives, but is narrowed by the others', () => {
  const { facets } = filterMachines(fleet, '', parseTerms(['status:offline']))
  expect(facets.status).toEqual([
    ['online', 2],
    ['offline', 1],
  ])
  expect(facets.group).toEqual([['rg-web', 1]])
})

test('terms survive the URL', () => {
  expect(formatTerm(parseTerm('-tag:env=a:b') ?? { key: 'os', value: '', not: false })).toBe('-tag:env=a:b')
  expect(parseTerm('colour:red')).toBeUndefined()
  expect(parseTerm('web')).toBeUndefined()
})

test('sorting is stable', () => {
  expect(sortBy(fleet, (row) => row.os.name, false).map((row) => row.name)).toEqual(['web-1', 'web-2', 'db-1'])
  expect(sortBy(fleet, (row) => row.name, true).map((row) => row.name)).toEqual(['web-2', 'web-1', 'db-1'])
})

test('of 5,000 machines exactly those are kept that plain comparison keeps', () => {
  const many = Array.from({ length: 5_000 }, (_, index) =>
    machine(`vm-${index}`, { status: index % 7 ? 'online' : 'offline', tags: { env: index % 2 ? 'prod' : 'dev' } }),
  )
  const kept = filterMachines(many, 'vm-4', parseTerms(['status:online', '-tag:env=dev'])).rows
  const plain = many.filter((row) => row.name.includes('vm-4') && row.status === 'online' && row.tags.env !== 'dev')
  expect(kept.map((row) => row.name)).toEqual(plain.map((row) => row.name))
})
