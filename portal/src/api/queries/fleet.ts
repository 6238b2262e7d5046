import { infiniteQueryOptions, queryOptions } from '@tanstack/react-query'
import { nameOf } from '../../domain/armId.ts'
import { armUrl, resourceUrl } from '../arm.ts'
import { get, listAll, nextPage } from '../client.ts'
import { types } from '../keys.ts'
import type {
  EnrolmentToken,
  List,
  Machine,
  MachineEvent,
  RekeyedMachine,
  ResourceGroup,
  VirtualMachine,
} from '../types.ts'
import { resourceWrite, type Write } from '../writes.ts'

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
  /** The time window is fixed when the query runs, so paging through nextLink stays within one window. */
  events: (id: string, { hours, kind }: { hours: number; kind?: string }) =>
    infiniteQueryOptions({
      queryKey: [types.machineEvent, id.toLowerCase(), { hours, kind }],
      initialPageParam: '',
      queryFn: ({ pageParam, signal }) => {
        if (pageParam) return nextPage<MachineEvent>(pageParam, signal)
        const from = new Date(Date.now() - hours * 3_600_000).toISOString()
        const $filter = `eventTimestamp ge '${from}'${kind ? ` and kind eq '${kind.replaceAll("'", "''")}'` : ''}`
        const path = `${id}/providers/Sekisho.Fleet/events`
        return get<List<MachineEvent>>(armUrl(path, 'sekisho.fleet', { $filter, $top: '50' }), signal)
      },
      getNextPageParam: (page) => page.nextLink,
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
  return resourceWrite<EnrolmentToken>('PUT', id, { body: { location: group.location, properties } })
}

/** The server gives out a new key at once, so it cannot try this: whoever holds the old one is offline afterwards. */
export const rekeyMachine = (id: string): Write<RekeyedMachine> => ({
  method: 'POST',
  url: armUrl(`${id}/rekey`, 'microsoft.compute'),
  body: {},
  operation: 'Microsoft.Compute/virtualMachines/rekey/action',
  target: { name: nameOf(id), id },
  foresee: async () => {
    const { properties } = await get<VirtualMachine>(armUrl(id, 'microsoft.compute'))
    return [
      {
        resourceId: id,
        changeType: 'Modify',
        before: { properties: { sekisho: { status: properties.sekisho?.status } } },
        after: { properties: { sekisho: { status: 'offline' } } },
      },
    ]
  },
})

export const createResourceGroup = (subscription: string, name: string, location: string) =>
  resourceWrite<ResourceGroup>('PUT', `${subscription}/resourceGroups/${name}`, { body: { location } })
