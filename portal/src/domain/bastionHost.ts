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

/** Limits of sessions: a whole number from 1 up to this, or nothing for none of its own. */
export const limits = {
  maximumMinutes: 720,
  idleMinutes: 720,
  sessionsPerPerson: 1_000,
  /** The server takes bytes. */
  maximumFileMiB: 1_048_576,
} as const
export type Limit = keyof typeof limits
export const limitIds = Object.keys(limits) as Limit[]
const mebibyte = 1024 * 1024

export const isLimit = (id: Limit, text: string) =>
  text === '' || (/^[1-9]\d*$/.test(text) && Number(text) <= limits[id])

/** Directions in which no files go, where any do. */
export const barriers = ['disableUpload', 'disableDownload'] as const
export type Barrier = (typeof barriers)[number]

export type HostDraft = {
  sku: Sku
  on: readonly Switch[]
  /** One network a line; none: from anywhere. */
  networks: string
  /** The id of the subnet it is in, or nothing. */
  subnet: string
  /** As they are typed. */
  limits: Record<Limit, string>
  barred: readonly Barrier[]
}

const noLimits: HostDraft['limits'] = { maximumMinutes: '', idleMinutes: '', sessionsPerPerson: '', maximumFileMiB: '' }

export const newHost: HostDraft = {
  sku: 'Standard',
  on: ['enableTunneling'],
  networks: '',
  subnet: '',
  limits: noLimits,
  barred: [],
}

type Kept = NonNullable<BastionHost['properties']['sekisho']>

function limitsOf(kept: Kept): HostDraft['limits'] {
  const text = (value: number | null | undefined) => (value == null ? '' : String(value))
  const { maximumMinutes, idleMinutes, sessionsPerPerson, maximumFileBytes: bytes } = kept
  return {
    maximumMinutes: text(maximumMinutes),
    idleMinutes: text(idleMinutes),
    sessionsPerPerson: text(sessionsPerPerson),
    maximumFileMiB: text(bytes == null ? bytes : Math.max(1, Math.round(bytes / mebibyte))),
  }
}

/** What is written of limits: what was not changed stays as it is, to the byte. */
function keptOf(draft: HostDraft, old: Kept): Kept | undefined {
  const before = limitsOf(old)
  const bytes = draft.limits.maximumFileMiB
  const number = (text: string) => (text === '' ? undefined : Number(text))
  const kept: Kept = {
    ...old,
    maximumMinutes: number(draft.limits.maximumMinutes),
    idleMinutes: number(draft.limits.idleMinutes),
    sessionsPerPerson: number(draft.limits.sessionsPerPerson),
    maximumFileBytes:
      bytes === before.maximumFileMiB ? old.maximumFileBytes : bytes === '' ? undefined : Number(bytes) * mebibyte,
    ...Object.fromEntries(barriers.map((id) => [id, draft.barred.includes(id) || undefined])),
  }
  return Object.values(kept).every((value) => value === undefined) ? undefined : kept
}

export function draftOf({ sku, properties }: BastionHost): HostDraft {
  return {
    sku: skus.find((name) => name === sku?.name) ?? (sku?.name === 'Developer' ? 'Basic' : 'Standard'),
    on: switchIds.filter((id) => properties[id] === true),
    networks: (properties.networkAcls?.ipRules ?? []).map((rule) => rule.addressPrefix).join('\n'),
    subnet: properties.ipConfigurations?.[0]?.properties?.subnet?.id ?? '',
    limits: limitsOf(properties.sekisho ?? {}),
    barred: barriers.filter((id) => properties.sekisho?.[id] === true),
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
    sekisho: keptOf(draft, old?.properties.sekisho ?? {}),
    networkAcls: { ipRules: networksOf(draft).map((addressPrefix) => ({ addressPrefix })) },
  }
  return { sku: { name: draft.sku }, properties: properties as BastionHost['properties'] }
}

export const sameDraft = (a: HostDraft, b: HostDraft) =>
  JSON.stringify([a.sku, [...a.on].sort(), networksOf(a), a.subnet, a.limits, [...a.barred].sort()]) ===
  JSON.stringify([b.sku, [...b.on].sort(), networksOf(b), b.subnet, b.limits, [...b.barred].sort()])

export const isComplete = ({ limits: typed }: HostDraft) => limitIds.every((id) => isLimit(id, typed[id]))
