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

/** How much is kept of sessions, or nothing: as the switch says, or as of everybody. */
export const kinds = ['', 'off', 'metadata', 'full'] as const
export type Kind = (typeof kinds)[number]
export const whose = ['recording', 'administratorRecording'] as const
export type Whose = (typeof whose)[number]

export const isPorts = (text: string) => {
  const [first = '', last = first, more] = text.split('-')
  const isPort = (word: string) => /^[1-9]\d{0,4}$/.test(word) && Number(word) <= 65_535
  return more === undefined && isPort(first) && isPort(last) && Number(first) <= Number(last)
}

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
  kept: Record<Whose, Kind>
  /** To which tunnels lead, as typed; none: to any. */
  ports: string
}

const noLimits: HostDraft['limits'] = { maximumMinutes: '', idleMinutes: '', sessionsPerPerson: '', maximumFileMiB: '' }

export const newHost: HostDraft = {
  sku: 'Standard',
  on: ['enableTunneling'],
  networks: '',
  subnet: '',
  limits: noLimits,
  barred: [],
  kept: { recording: '', administratorRecording: '' },
  ports: '',
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
    ...Object.fromEntries(whose.map((id) => [id, draft.kept[id] || undefined])),
    // None at all is something else than any, and nothing that is typed.
    tunnelPorts: portsOf(draft).length > 0 || old.tunnelPorts?.length === 0 ? portsOf(draft) : undefined,
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
    kept: {
      recording: properties.sekisho?.recording ?? '',
      administratorRecording: properties.sekisho?.administratorRecording ?? '',
    },
    ports: (properties.sekisho?.tunnelPorts ?? []).join(' '),
  }
}

export const portsOf = ({ ports }: Pick<HostDraft, 'ports'>) => ports.split(/[\s,]+/).filter(Boolean)

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

const said = (draft: HostDraft) => [
  draft.sku,
  [...draft.on].sort(),
  networksOf(draft),
  draft.subnet,
  draft.limits,
  [...draft.barred].sort(),
  draft.kept,
  portsOf(draft),
]

export const sameDraft = (a: HostDraft, b: HostDraft) => JSON.stringify(said(a)) === JSON.stringify(said(b))

export const isComplete = (draft: HostDraft) =>
  limitIds.every((id) => isLimit(id, draft.limits[id])) && portsOf(draft).every(isPorts)
