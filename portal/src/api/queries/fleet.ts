import { queryOptions } from '@tanstack/react-query'
import { armUrl, resourceUrl } from '../arm.ts'
import { call, get, listAll } from '../client.ts'
import { types } from '../keys.ts'
import type { EnrolmentToken, Machine, ResourceGroup, VirtualMachine } from '../types.ts'

export const fleetQueries = {
  machines: (subscription: string) =>
    queryOptions({
      queryKey: [types.machineRow, subscription],
      queryFn: ({ signal }) =>
        listAll<Machine>(armUrl(`${subscription}/providers/Sekisho.Fleet/machines`, 'sekisho.fleet'), signal),
    }),
  machine: (id: string) =>
    queryOptions({
      queryKey: [types.machine, id.toLowerCase()],
      queryFn: ({ signal }) => get<VirtualMachine>(resourceUrl(id, { $expand: 'instanceView' }), signal),
    }),
  tokens: (subscription: string) =>
    queryOptions({
      queryKey: [types.enrolmentToken, subscription],
      queryFn: ({ signal }) =>
        listAll<EnrolmentToken>(
          armUrl(`${subscription}/providers/Sekisho.Fleet/enrolmentTokens`, 'sekisho.fleet'),
          signal,
        ),
    }),
  resourceGroups: (subscription: string) =>
    queryOptions({
      queryKey: [types.resourceGroup, subscription],
      queryFn: ({ signal }) =>
        listAll<ResourceGroup>(armUrl(`${subscription}/resourcegroups`, 'microsoft.resources'), signal),
    }),
  resource: (id: string) =>
    queryOptions({
      queryKey: ['resource', id.toLowerCase()],
      queryFn: ({ signal }) => get<Record<string, unknown>>(resourceUrl(id), signal),
    }),
}

export type NewToken = {
  group: ResourceGroup
  name: string
  ttlSeconds: number
  maxUses: number
  machineTags: Record<string, string>
}

export function createToken({ group, name, ttlSeconds, maxUses, machineTags }: NewToken) {
  const id = `${group.id}/providers/Sekisho.Fleet/enrolmentTokens/${name}`
  const properties = { ttlSeconds, maxUses, ...(Object.keys(machineTags).length > 0 ? { machineTags } : {}) }
  return call<EnrolmentToken>('PUT', resourceUrl(id), { body: { location: group.location, properties } })
}

export const deleteResource = (id: string) => call<void>('DELETE', resourceUrl(id))

export const createResourceGroup = (subscription: string, name: string, location: string) =>
  call<ResourceGroup>('PUT', armUrl(`${subscription}/resourcegroups/${name}`, 'microsoft.resources'), {
    body: { location },
  })
