import { keepPreviousData, queryOptions } from '@tanstack/react-query'
import { armUrl } from '../arm.ts'
import { call, listAll } from '../client.ts'
import { types } from '../keys.ts'
import type { FlowEdgeView, FlowLog, FlowMap, TrafficView } from '../types.ts'
import { resourceWrite } from '../writes.ts'

export type TrafficFilter = { minutes: number; access?: 'Allow' | 'Deny' }

/** By what machines are put together, in the server's words. */
export type Grouping = 'ApplicationSecurityGroup' | 'Subnet' | 'NetworkSecurityGroup'
export type FlowMapFilter = TrafficFilter & { groupBy: Grouping; expand?: string }

const asked = ({ minutes, ...rest }: FlowMapFilter) => ({
  ...rest,
  from: new Date(Date.now() - minutes * 60_000).toISOString(),
})

const groupOf = (id: string) => id.split('/').slice(0, 5).join('/')

type Watcher = { id: string; location: string }
export type FlowLogs = { watchers: Watcher[]; logs: FlowLog[] }

export const trafficQueries = {
  /** What the flow logs of a machine have to tell. */
  of: (machine: string, { minutes, access }: TrafficFilter) =>
    queryOptions({
      queryKey: [types.machineEvent, machine.toLowerCase(), 'traffic', minutes, access],
      queryFn: ({ signal }) =>
        call<TrafficView>('POST', armUrl(`${machine}/providers/Sekisho.Network/traffic`, 'sekisho.network'), {
          body: { from: new Date(Date.now() - minutes * 60_000).toISOString(), access },
          signal,
        }),
    }),
  /** Which groups talk with which. */
  map: (scope: string, filter: FlowMapFilter) =>
    queryOptions({
      queryKey: [types.flowMap, scope, filter],
      queryFn: ({ signal }) =>
        call<FlowMap>('POST', armUrl(`${scope}/providers/Sekisho.Network/flowMap`, 'sekisho.network'), {
          body: asked(filter),
          signal,
        }),
      // A node that is expanded appears where it was.
      placeholderData: keepPreviousData,
    }),
  /** The rules and flows between two groups. */
  edge: (scope: string, filter: FlowMapFilter, source: string, target: string) =>
    queryOptions({
      queryKey: [types.flowMap, scope, filter, source, target],
      queryFn: ({ signal }) =>
        call<FlowEdgeView>('POST', armUrl(`${scope}/providers/Sekisho.Network/flowMapEdge`, 'sekisho.network'), {
          body: { ...asked(filter), source, target },
          signal,
        }),
    }),
  /** The network watchers of a subscription with their flow logs. */
  logs: (subscription: string) =>
    queryOptions({
      queryKey: [types.flowLog, subscription],
      queryFn: async ({ signal }): Promise<FlowLogs> => {
        const url = armUrl(`${subscription}/providers/Microsoft.Network/networkWatchers`, 'microsoft.network')
        const watchers = await listAll<Watcher>(url, signal)
        const logs = await Promise.all(
          watchers.map(({ id }) => listAll<FlowLog>(armUrl(`${id}/flowLogs`, 'microsoft.network'), signal)),
        )
        return { watchers, logs: logs.flat() }
      },
    }),
}

export const createWatcher = (machine: string, location: string) =>
  resourceWrite('PUT', `${groupOf(machine)}/providers/Microsoft.Network/networkWatchers/NetworkWatcher_${location}`, {
    body: { location, properties: {} },
  })

/** Logs the flows of an interface into the storage account that every installation has. */
export const logFlows = (watcher: Watcher, nic: string) =>
  resourceWrite<FlowLog>('PUT', `${watcher.id}/flowLogs/${nic.split('/').at(-1)}`, {
    body: {
      location: watcher.location,
      properties: {
        targetResourceId: nic,
        storageId: `${groupOf(nic)}/providers/Microsoft.Storage/storageAccounts/flowlogs`,
        enabled: true,
        format: { type: 'JSON', version: 2 },
      },
    },
  })

export const stopLogging = (log: FlowLog) => resourceWrite('DELETE', log.id)
