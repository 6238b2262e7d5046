import { queryOptions } from '@tanstack/react-query'
import { armUrl } from '../arm.ts'
import { call, listAll } from '../client.ts'
import { types } from '../keys.ts'
import type { FlowLog, TrafficView } from '../types.ts'
import { resourceWrite } from '../writes.ts'

export type TrafficFilter = { minutes: number; access?: 'Allow' | 'Deny' }

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
