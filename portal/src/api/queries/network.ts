import { queryOptions } from '@tanstack/react-query'
import { armUrl, resourceUrl } from '../arm.ts'
import { call, get, listAll } from '../client.ts'
import { ApiError } from '../errors.ts'
import { types } from '../keys.ts'
import type {
  ActiveAdminRule,
  ApplicationSecurityGroup,
  Direction,
  EffectiveGroups,
  GroupHits,
  Invariant,
  InvariantCheck,
  NetworkInterface,
  NetworkManager,
  ResourceGroup,
  RuleAnalysis,
  SecurityGroup,
  ServiceTag,
  ServiceTagSet,
  Simulation,
  VirtualNetwork,
} from '../types.ts'
import { resourceWrite } from '../writes.ts'

const list = <T>(subscription: string, type: string, signal: AbortSignal) =>
  listAll<T>(armUrl(`${subscription}/providers/Microsoft.Network/${type}`, 'microsoft.network'), signal)

export const networkQueries = {
  nsgs: (subscription: string) =>
    queryOptions({
      queryKey: [types.nsg, subscription],
      queryFn: ({ signal }) => list<SecurityGroup>(subscription, 'networkSecurityGroups', signal),
    }),
  nsg: (id: string) =>
    queryOptions({
      queryKey: [types.nsg, id.toLowerCase()],
      queryFn: ({ signal }) => get<SecurityGroup>(resourceUrl(id), signal),
    }),
  /** What the rules of a group say about themselves. */
  analysis: (id: string) =>
    queryOptions({
      queryKey: [types.nsg, id.toLowerCase(), 'analysis'],
      queryFn: ({ signal }) =>
        call<RuleAnalysis>('POST', armUrl(`${id}/sekisho.analyse`, 'microsoft.network'), { body: {}, signal }),
      retry: false,
    }),
  /** How often the rules of a group have matched. */
  hits: (id: string) =>
    queryOptions({
      queryKey: [types.nsg, id.toLowerCase(), 'hits'],
      queryFn: ({ signal }) =>
        call<GroupHits>('POST', armUrl(`${id}/sekisho.hits`, 'microsoft.network'), { body: {}, signal }),
      refetchInterval: 60_000,
      retry: false,
    }),
  nics: (subscription: string) =>
    queryOptions({
      queryKey: [types.nic, subscription],
      queryFn: ({ signal }) => list<NetworkInterface>(subscription, 'networkInterfaces', signal),
    }),
  nic: (id: string) =>
    queryOptions({
      queryKey: [types.nic, id.toLowerCase()],
      queryFn: ({ signal }) => get<NetworkInterface>(resourceUrl(id), signal),
    }),
  vnets: (subscription: string) =>
    queryOptions({
      queryKey: [types.vnet, subscription],
      queryFn: ({ signal }) => list<VirtualNetwork>(subscription, 'virtualNetworks', signal),
    }),
  asgs: (subscription: string) =>
    queryOptions({
      queryKey: [types.asg, subscription],
      queryFn: ({ signal }) => list<ApplicationSecurityGroup>(subscription, 'applicationSecurityGroups', signal),
    }),
  invariants: (subscription: string) =>
    queryOptions({
      queryKey: [types.invariant, subscription],
      queryFn: ({ signal }) =>
        listAll<Invariant>(armUrl(`${subscription}/providers/Sekisho.Network/invariants`, 'sekisho.network'), signal),
    }),
  /** Whether an invariant holds now. */
  invariantCheck: (id: string) =>
    queryOptions({
      queryKey: [types.invariant, id.toLowerCase(), 'check'],
      queryFn: ({ signal }) =>
        call<InvariantCheck>('POST', armUrl(`${id}/check`, 'sekisho.network'), { body: {}, signal }),
      retry: false,
    }),
  /** The service tags that rules can name, without their prefixes. */
  serviceTags: (subscription: string) =>
    queryOptions({
      queryKey: [types.serviceTagSet, types.serviceTag, subscription],
      queryFn: ({ signal }) => {
        const path = `${subscription}/providers/Microsoft.Network/locations/home/serviceTagDetails`
        return listAll<ServiceTag>(armUrl(path, 'microsoft.network', { noAddressPrefixes: 'true' }), signal)
      },
    }),
  networkManagers: (subscription: string) =>
    queryOptions({
      queryKey: [types.networkManager, subscription],
      queryFn: ({ signal }) => list<NetworkManager>(subscription, 'networkManagers', signal),
    }),
  /** The security-admin rules that a manager has in force. */
  activeAdminRules: (managerId: string) =>
    queryOptions({
      queryKey: [types.networkManager, managerId.toLowerCase(), 'active'],
      queryFn: async ({ signal }) => {
        const url = armUrl(`${managerId}/listActiveSecurityAdminRules`, 'microsoft.network')
        return (await call<{ value: ActiveAdminRule[] }>('POST', url, { body: {}, signal })).value
      },
    }),
  /** The version of Azure's list that is in force; null where none is, or none that may be seen. */
  serviceTagSet: () =>
    queryOptions({
      queryKey: [types.serviceTagSet],
      queryFn: async ({ signal }) => {
        try {
          // Of the list, since before the first import there is none to be asked for.
          const [set] = await listAll<ServiceTagSet>(armUrl(serviceTagSets, 'sekisho.network'), signal)
          return set ?? null
        } catch (error) {
          if (error instanceof ApiError && error.status === 403) return null
          throw error
        }
      },
    }),
  effectiveRules: (nicId: string) =>
    queryOptions({
      queryKey: [types.effectiveRules, nicId.toLowerCase()],
      queryFn: ({ signal }) => {
        const url = armUrl(`${nicId}/effectiveNetworkSecurityGroups`, 'microsoft.network')
        return call<EffectiveGroups>('POST', url, { body: {}, signal })
      },
    }),
}

const serviceTagSets = '/providers/Sekisho.Network/serviceTagSets'
const serviceTagSetId = `${serviceTagSets}/azure`

/** Azure's own file, as it is published. */
export const importServiceTags = (file: unknown) => resourceWrite<ServiceTagSet>('PUT', serviceTagSetId, { body: file })

export const createNsg = (group: ResourceGroup, name: string) =>
  resourceWrite<SecurityGroup>('PUT', `${group.id}/providers/Microsoft.Network/networkSecurityGroups/${name}`, {
    body: { location: group.location, properties: {} },
  })

export type SimulatedPacket = {
  direction: Direction
  protocol: string
  sourceAddress: string
  destinationAddress: string
  sourcePort?: number
  destinationPort?: number
}

/** Whether a packet would pass an interface. */
export const simulate = (nicId: string, packet: SimulatedPacket) =>
  call<Simulation>('POST', armUrl(`${nicId}/sekisho.simulate`, 'microsoft.network'), { body: packet })
