import { parseArmId } from '../domain/armId.ts'

/** One place for api-versions: what the portal was written against. */
const versions = {
  subscriptions: '2022-12-01',
  'microsoft.resources': '2024-11-01',
  'microsoft.compute': '2026-04-01',
  'microsoft.network': '2024-05-01',
  'microsoft.authorization': '2022-04-01',
  'microsoft.insights': '2015-04-01',
  'microsoft.security': '2020-01-01',
  'sekisho.fleet': '2026-11-01',
  'sekisho.network': '2026-11-01',
  'sekisho.authorization': '2026-11-01',
  'sekisho.audit': '2026-11-01',
  'sekisho.bastion': '2026-11-01',
} as const

export type Provider = keyof typeof versions

export function armUrl(path: string, provider: Provider, query: Record<string, string> = {}) {
  return `${path}?${new URLSearchParams({ 'api-version': versions[provider], ...query })}`
}

export function providerOf(id: string): Provider {
  const namespace = parseArmId(id)?.type.split('/')[0] ?? ''
  return namespace in versions ? (namespace as Provider) : 'microsoft.resources'
}

/** The address of one resource, with the api-version its provider needs. */
export const resourceUrl = (id: string, query: Record<string, string> = {}) => armUrl(id, providerOf(id), query)
