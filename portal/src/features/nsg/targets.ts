import { resourceWrite, type Write } from '../../api/writes.ts'
import type { NetworkInterface, SecurityGroup, Subnet, VirtualNetwork } from '../../api/types.ts'
import { nameOf, sameId } from '../../domain/armId.ts'

/** Something a security group can guard. */
export type Target = {
  id: string
  name: string
  detail: string
  group?: string
  attach: (nsgId: string | null) => Write
}

export function nicTarget(nic: NetworkInterface): Target {
  const addresses = (nic.properties.ipConfigurations ?? [])
    .map((config) => config.properties.privateIPAddress)
    .filter(Boolean)
  return {
    id: nic.id,
    name: nic.properties.virtualMachine ? `${nameOf(nic.properties.virtualMachine.id)} / ${nic.name}` : nic.name,
    detail: addresses.join(', '),
    group: nic.properties.networkSecurityGroup?.id,
    attach: (nsgId) =>
      resourceWrite('PUT', nic.id, {
        etag: nic.etag,
        body: { ...nic, properties: { ...nic.properties, networkSecurityGroup: nsgId ? { id: nsgId } : null } },
      }),
  }
}

export function subnetTarget(vnet: VirtualNetwork, subnet: Subnet): Target {
  const { addressPrefix, addressPrefixes, networkSecurityGroup } = subnet.properties
  return {
    id: subnet.id,
    name: `${vnet.name} / ${subnet.name}`,
    detail: (addressPrefixes ?? [addressPrefix]).filter(Boolean).join(', '),
    group: networkSecurityGroup?.id,
    attach: (nsgId) =>
      resourceWrite('PUT', subnet.id, {
        etag: subnet.etag,
        body: { ...subnet, properties: { ...subnet.properties, networkSecurityGroup: nsgId ? { id: nsgId } : null } },
      }),
  }
}

export const subnetTargets = (vnets: VirtualNetwork[]) =>
  vnets.flatMap((vnet) => (vnet.properties.subnets ?? []).map((subnet) => subnetTarget(vnet, subnet)))

export const guardedBy = (targets: Target[], group: SecurityGroup) =>
  targets.filter((target) => sameId(target.group, group.id))
