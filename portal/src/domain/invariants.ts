import type { Invariant, InvariantProperties } from '../api/types.ts'
import {
  anyPeer,
  checkPorts,
  type Found,
  listOf,
  nameProblem,
  type Peer,
  peerOf,
  peerProblem,
  peerProperties,
  portProperties,
  splitList,
} from './rules.ts'

/** What the editor of an invariant holds while typing. */
export type InvariantDraft = {
  name: string
  must: 'Allow' | 'Deny'
  enforcement: 'enforce' | 'report'
  protocol: string
  source: Peer
  destination: Peer
  destinationPorts: string
  description: string
}

const machines = (machineTags: string): Peer => ({ ...anyPeer, kind: 'machines', machineTags })

/** The statement that most people come for. */
export const newInvariant: InvariantDraft = {
  name: '',
  must: 'Deny',
  enforcement: 'enforce',
  protocol: 'Tcp',
  source: { ...anyPeer, kind: 'tag', tag: 'Internet' },
  destination: machines(''),
  destinationPorts: '22, 3389',
  description: '',
}

export const tagsText = (tags: Record<string, string>) =>
  Object.entries(tags)
    .map((pair) => pair.join('='))
    .join(', ')

function sideOf(p: InvariantProperties, side: 'source' | 'destination') {
  const tags = p[`${side}MachineTags`]
  if (tags) return machines(tagsText(tags))
  const prefixes = listOf(p[`${side}AddressPrefix`] ?? undefined, p[`${side}AddressPrefixes`] ?? undefined)
  return peerOf(prefixes, p[`${side}ApplicationSecurityGroups`] ?? undefined)
}

export function invariantDraft({ name, properties }: Pick<Invariant, 'name' | 'properties'>): InvariantDraft {
  const ports = listOf(properties.destinationPortRange ?? undefined, properties.destinationPortRanges ?? undefined)
  return {
    name,
    must: properties.must,
    enforcement: properties.enforcement,
    protocol: properties.protocol,
    source: sideOf(properties, 'source'),
    destination: sideOf(properties, 'destination'),
    destinationPorts: ports.join(', ') || '*',
    description: properties.description ?? '',
  }
}

export type InvariantProblems = Partial<Record<keyof InvariantDraft, Found | { problem: 'noMachines'; text?: string }>>

const isMachines = ({ kind }: Peer) => kind === 'machines' || kind === 'asg'

export function checkInvariant(draft: InvariantDraft, taken: string[]) {
  const { source, destination } = draft
  const missing = isMachines(source) || isMachines(destination) ? undefined : { problem: 'noMachines' as const }
  return {
    name: nameProblem(draft.name, taken),
    source: peerProblem(source),
    destination: peerProblem(destination) ?? missing,
    destinationPorts: checkPorts(draft, draft.destinationPorts),
    description: draft.description.length > 140 ? { problem: 'descriptionLong' as const } : undefined,
  } satisfies InvariantProblems
}

function sideProperties(side: 'source' | 'destination', peer: Peer) {
  if (peer.kind !== 'machines') return peerProperties(side, peer)
  const pairs = splitList(peer.machineTags).map((part) => {
    const at = part.indexOf('=')
    return [part.slice(0, at), part.slice(at + 1)]
  })
  return { [`${side}MachineTags`]: Object.fromEntries(pairs) }
}

export function invariantProperties(draft: InvariantDraft) {
  const { must, enforcement, protocol } = draft
  const description = draft.description.trim()
  return {
    ...(description ? { description } : {}),
    must,
    enforcement,
    protocol,
    ...sideProperties('source', draft.source),
    ...sideProperties('destination', draft.destination),
    ...portProperties('destination', draft.destinationPorts),
  }
}
