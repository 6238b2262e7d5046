import type { Direction, SecurityGroup, SecurityRule, SecurityRuleProperties } from '../api/types.ts'
import { prefixProblem } from './address.ts'

/** What the rule editor holds while typing, and what is wrong with it. The server checks again; this only saves a round. */
export type PeerKind = 'any' | 'ip' | 'tag' | 'asg' | 'machines'
/** `machines` are those with all of some tags, written `name=value`; a rule cannot name them, an invariant can. */
export type Peer = { kind: PeerKind; addresses: string; tag: string; asgs: string[]; machineTags: string }
export type RuleDraft = {
  name: string
  priority: string
  access: 'Allow' | 'Deny'
  protocol: string
  source: Peer
  sourcePorts: string
  destination: Peer
  destinationPorts: string
  description: string
}

/** Whether a group lets everything through and only counts what it would deny. */
export const isAuditOnly = ({ properties }: Pick<SecurityGroup, 'properties'>) =>
  properties.sekisho?.mode?.toLowerCase() === 'audit'

export const serviceTags = [
  'VirtualNetwork',
  'Internet',
  'AzureLoadBalancer',
  'AzurePlatformDNS',
  'AzurePlatformIMDS',
  'AzurePlatformLKM',
] as const
export const protocols = ['*', 'Tcp', 'Udp', 'Icmp', 'Esp', 'Ah'] as const

export const anyPeer: Peer = { kind: 'any', addresses: '', tag: 'VirtualNetwork', asgs: [], machineTags: '' }

/** Singular and plural ARM fields mean the same; readers want one list. */
export const listOf = (one: string | undefined, many: string[] | undefined) =>
  many && many.length > 0 ? many : one ? [one] : []

export const splitList = (text: string) => text.split(/[\s,、，]+/).filter(Boolean)

const isTag = (prefix: string) => prefix !== '*' && prefixProblem(prefix) === 'syntax' && /^[A-Za-z]/.test(prefix)

export function peerOf(prefixes: string[], asgs: { id: string }[] | undefined): Peer {
  if (asgs && asgs.length > 0) return { ...anyPeer, kind: 'asg', asgs: asgs.map((asg) => asg.id) }
  const [first] = prefixes
  if (first === undefined || first === '*') return anyPeer
  if (prefixes.length === 1 && isTag(first)) return { ...anyPeer, kind: 'tag', tag: first }
  return { ...anyPeer, kind: 'ip', addresses: prefixes.join(', ') }
}

export function draftOf({ name, properties }: Pick<SecurityRule, 'name' | 'properties'>): RuleDraft {
  const p = properties
  return {
    name,
    priority: String(p.priority),
    access: p.access,
    protocol: protocols.find((item) => item.toLowerCase() === p.protocol.toLowerCase()) ?? p.protocol,
    source: peerOf(listOf(p.sourceAddressPrefix, p.sourceAddressPrefixes), p.sourceApplicationSecurityGroups),
    sourcePorts: listOf(p.sourcePortRange, p.sourcePortRanges).join(', '),
    destination: peerOf(
      listOf(p.destinationAddressPrefix, p.destinationAddressPrefixes),
      p.destinationApplicationSecurityGroups,
    ),
    destinationPorts: listOf(p.destinationPortRange, p.destinationPortRanges).join(', '),
    description: p.description ?? '',
  }
}

/** A new rule goes behind the last one, with room to put others between. */
export function newDraft(rules: SecurityRule[], direction: Direction): RuleDraft {
  const used = rules.filter((rule) => rule.properties.direction === direction).map((rule) => rule.properties.priority)
  let priority = Math.min(4096, Math.max(90, ...used) + 10)
  while (used.includes(priority) && priority > 100) priority -= 1
  return {
    name: '',
    priority: String(priority),
    access: 'Allow',
    protocol: 'Tcp',
    source: { ...anyPeer, kind: 'ip' },
    sourcePorts: '*',
    destination: anyPeer,
    destinationPorts: '',
    description: '',
  }
}

export type Problem =
  | 'nameEmpty'
  | 'nameSyntax'
  | 'nameTaken'
  | 'priorityRange'
  | 'priorityTaken'
  | 'portsEmpty'
  | 'portsSyntax'
  | 'portsWithProtocol'
  | 'addressesEmpty'
  | 'addressSyntax'
  | 'addressLength'
  | 'addressHostBits'
  | 'tagEmpty'
  | 'asgEmpty'
  | 'machineTagSyntax'
  | 'descriptionLong'

export type Found = { problem: Problem; text?: string }
export type Problems = Partial<Record<keyof RuleDraft, Found>>

function portProblem(text: string): Found | undefined {
  const parts = splitList(text)
  if (parts.length === 0) return { problem: 'portsEmpty' }
  if (parts.length === 1 && parts[0] === '*') return
  for (const part of parts) {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part)
    const [from, to] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])]
    if (!match || to > 65_535 || from > to) return { problem: 'portsSyntax', text: part }
  }
}

const prefixProblems = { syntax: 'addressSyntax', length: 'addressLength', hostBits: 'addressHostBits' } as const

export function peerProblem(peer: Peer): Found | undefined {
  if (peer.kind === 'tag') return peer.tag.trim() === '' ? { problem: 'tagEmpty' } : undefined
  if (peer.kind === 'asg') return peer.asgs.length === 0 ? { problem: 'asgEmpty' } : undefined
  if (peer.kind === 'any') return
  if (peer.kind === 'machines') {
    const wrong = splitList(peer.machineTags).find((part) => !/^[^=]+=/.test(part))
    return wrong === undefined ? undefined : { problem: 'machineTagSyntax', text: wrong }
  }
  const parts = splitList(peer.addresses)
  if (parts.length === 0) return { problem: 'addressesEmpty' }
  for (const part of parts) {
    const problem = prefixProblem(part)
    if (problem) return { problem: prefixProblems[problem], text: part }
  }
}

const portless = ['Icmp', 'Esp', 'Ah']

export function checkPorts({ protocol }: { protocol: string }, ports: string): Found | undefined {
  const problem = portProblem(ports)
  if (problem) return problem
  return portless.includes(protocol) && ports.trim() !== '*' ? { problem: 'portsWithProtocol' as const } : undefined
}

export function nameProblem(text: string, taken: string[]): Found | undefined {
  const name = text.trim()
  if (name === '') return { problem: 'nameEmpty' }
  if (!/^[a-z0-9]([\w.-]{0,78}\w)?$/i.test(name)) return { problem: 'nameSyntax' }
  return taken.some((other) => other.toLowerCase() === name.toLowerCase()) ? { problem: 'nameTaken' } : undefined
}

/** `own` is the name of the rule being edited; its own name and priority are not in the way. */
export function checkDraft(draft: RuleDraft, direction: Direction, rules: SecurityRule[], own?: string): Problems {
  const problems: Problems = {}
  const others = rules.filter((rule) => rule.name.toLowerCase() !== own?.toLowerCase())
  problems.name = nameProblem(
    draft.name,
    others.map((rule) => rule.name),
  )

  const priority = Number(draft.priority)
  const taken = others.find((rule) => rule.properties.direction === direction && rule.properties.priority === priority)
  if (!/^\d+$/.test(draft.priority) || priority < 100 || priority > 4096)
    problems.priority = { problem: 'priorityRange' }
  else if (taken) problems.priority = { problem: 'priorityTaken', text: taken.name }

  problems.source = peerProblem(draft.source)
  problems.destination = peerProblem(draft.destination)
  problems.sourcePorts = checkPorts(draft, draft.sourcePorts)
  problems.destinationPorts = checkPorts(draft, draft.destinationPorts)
  if (draft.description.length > 140) problems.description = { problem: 'descriptionLong' }
  return problems
}

export const hasProblem = (problems: Record<string, Found | undefined>) =>
  Object.values(problems).some((problem) => problem !== undefined)

export function peerProperties(side: 'source' | 'destination', peer: Peer): Partial<SecurityRuleProperties> {
  if (peer.kind === 'asg') return { [`${side}ApplicationSecurityGroups`]: peer.asgs.map((id) => ({ id })) }
  const prefixes = peer.kind === 'any' ? ['*'] : peer.kind === 'tag' ? [peer.tag.trim()] : splitList(peer.addresses)
  return prefixes.length === 1 ? { [`${side}AddressPrefix`]: prefixes[0] } : { [`${side}AddressPrefixes`]: prefixes }
}

export function portProperties(side: 'source' | 'destination', text: string): Partial<SecurityRuleProperties> {
  const ports = splitList(text)
  return ports.length === 1 ? { [`${side}PortRange`]: ports[0] } : { [`${side}PortRanges`]: ports }
}

export function propertiesOf(draft: RuleDraft, direction: Direction): SecurityRuleProperties {
  const description = draft.description.trim()
  return {
    ...(description ? { description } : {}),
    protocol: draft.protocol,
    access: draft.access,
    priority: Number(draft.priority),
    direction,
    ...peerProperties('source', draft.source),
    ...portProperties('source', draft.sourcePorts),
    ...peerProperties('destination', draft.destination),
    ...portProperties('destination', draft.destinationPorts),
  }
}
