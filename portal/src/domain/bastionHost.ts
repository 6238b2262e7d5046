import type { BastionHost } from '../api/types.ts'

export const skus = ['Basic', 'Standard', 'Premium'] as const
export type Sku = (typeof skus)[number]

/** What can be switched on or off, and the least SKU that has it; as the server checks it. */
export const switches = {
  enableTunneling: 'Standard',
  enableFileCopy: 'Standard',
  disableCopyPaste: 'Standard',
  enableIpConnect: 'Standard',
  enableShareableLink: 'Standard',
  enableSessionRecording: 'Premium',
} as const satisfies Record<string, Sku>
export type Switch = keyof typeof switches
export const switchIds = Object.keys(switches) as Switch[]

export const has = (sku: Sku, id: Switch) => skus.indexOf(sku) >= skus.indexOf(switches[id])

export type HostDraft = {
  sku: Sku
  on: readonly Switch[]
  /** One network a line; none: from anywhere. */
  networks: string
  /** The id of the subnet it is in, or nothing. */
  subnet: string
}

export const newHost: HostDraft = { sku: 'Standard', on: ['enableTunneling'], networks: '', subnet: '' }

export function draftOf({ sku, properties }: BastionHost): HostDraft {
  return {
    sku: skus.find((name) => name === sku?.name) ?? (sku?.name === 'Developer' ? 'Basic' : 'Standard'),
    on: switchIds.filter((id) => properties[id] === true),
    networks: (properties.networkAcls?.ipRules ?? []).map((rule) => rule.addressPrefix).join('\n'),
    subnet: properties.ipConfigurations?.[0]?.properties?.subnet?.id ?? '',
  }
}

export const networksOf = ({ networks }: HostDraft) =>
  networks
    .split(/[\s,]+/)
    .map((line) => line.trim())
    .filter(Boolean)

/** What is sent; what a draft does not know of stays as it is. */
export function hostBody(draft: HostDraft, old?: BastionHost): Pick<BastionHost, 'sku' | 'properties'> {
  const before = old && draftOf(old)
  const flags = Object.fromEntries(switchIds.map((id) => [id, draft.on.includes(id) && has(draft.sku, id)]))
  const place =
    before?.subnet === draft.subnet
      ? {}
      : {
          ipConfigurations: draft.subnet
            ? [{ name: 'ipConfiguration', properties: { subnet: { id: draft.subnet } } }]
            : null,
        }
  const properties = {
    ...old?.properties,
    ...flags,
    ...place,
    networkAcls: { ipRules: networksOf(draft).map((addressPrefix) => ({ addressPrefix })) },
  }
  return { sku: { name: draft.sku }, properties: properties as BastionHost['properties'] }
}

export const sameDraft = (a: HostDraft, b: HostDraft) =>
  JSON.stringify([a.sku, [...a.on].sort(), networksOf(a), a.subnet]) ===
  JSON.stringify([b.sku, [...b.on].sort(), networksOf(b), b.subnet])
