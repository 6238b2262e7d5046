import type { SecurityGroup, SecurityRule } from '../api/types.ts'
import { listOf } from './rules.ts'

/** Ports that are attacked within minutes when the whole Internet may reach them. */
export const sensitivePorts = [
  22, 23, 135, 445, 1433, 1521, 2375, 3306, 3389, 5432, 5900, 5985, 6379, 9200, 11211, 27017,
] as const

const everywhere = new Set(['*', 'internet', 'any', '0.0.0.0/0', '::/0'])

function fromEverywhere({ properties: p }: SecurityRule) {
  if (p.sourceApplicationSecurityGroups && p.sourceApplicationSecurityGroups.length > 0) return false
  return listOf(p.sourceAddressPrefix, p.sourceAddressPrefixes).some((prefix) => everywhere.has(prefix.toLowerCase()))
}

function covers({ properties: p }: SecurityRule, port: number) {
  return listOf(p.destinationPortRange, p.destinationPortRanges).some((range) => {
    if (range === '*') return true
    const [from, to = from] = range.split('-').map(Number)
    return from !== undefined && to !== undefined && from <= port && port <= to
  })
}

const carriesPorts = (rule: SecurityRule) => ['*', 'tcp', 'udp'].includes(rule.properties.protocol.toLowerCase())

function shuts(deny: SecurityRule, allow: SecurityRule, port: number) {
  const { access, protocol, destinationAddressPrefix, destinationApplicationSecurityGroups } = deny.properties
  const sameProtocol = protocol === '*' || protocol.toLowerCase() === allow.properties.protocol.toLowerCase()
  const everyDestination = destinationAddressPrefix === '*' && !destinationApplicationSecurityGroups?.length
  return access === 'Deny' && sameProtocol && everyDestination && fromEverywhere(deny) && covers(deny, port)
}

export type Exposure = { group: SecurityGroup; rule: SecurityRule; ports: number[] }

/** Inbound rules that let the whole Internet reach a sensitive port and that no earlier rule takes back. */
export function exposures(group: SecurityGroup): Exposure[] {
  const inbound = (group.properties.securityRules ?? [])
    .filter((rule) => rule.properties.direction === 'Inbound')
    .toSorted((a, b) => a.properties.priority - b.properties.priority)
  return inbound.flatMap((rule, index) => {
    if (rule.properties.access !== 'Allow' || !fromEverywhere(rule) || !carriesPorts(rule)) return []
    const earlier = inbound.slice(0, index)
    const ports = sensitivePorts.filter(
      (port) => covers(rule, port) && !earlier.some((deny) => shuts(deny, rule, port)),
    )
    return ports.length > 0 ? [{ group, rule, ports }] : []
  })
}
