import { queryOptions } from '@tanstack/react-query'
import { armUrl, resourceUrl } from '../arm.ts'
import { get, listAll } from '../client.ts'
import { types } from '../keys.ts'
import type { BastionHost, List, ResourceGroup } from '../types.ts'
import { resourceWrite, type Write } from '../writes.ts'

/** A session on a machine that is open. */
export type BastionSession = {
  sessionId: string
  host: string
  machine: string
  account: string
  protocol: string
  userName: string
  address: string
  since: string
  watchers: number
  recorded: 'off' | 'metadata' | 'full'
}
export type Recording = {
  id: string
  machine: string
  account: string
  userName: string
  since: string
  until: string | null
  bytes: number
  /** `interrupted`: it stops before its session did. `broken`: it does not verify. */
  state: 'open' | 'closed' | 'interrupted' | 'broken'
  columns: number
  rows: number
  /** Where a text that was searched for was on the screen: milliseconds from the beginning. */
  matches?: { at: number; text: string }[]
}

export const bastionQueries = {
  hosts: (subscription: string) =>
    queryOptions({
      queryKey: [types.bastionHost, subscription],
      queryFn: ({ signal }) =>
        listAll<BastionHost>(
          armUrl(`${subscription}/providers/Microsoft.Network/bastionHosts`, 'microsoft.network'),
          signal,
        ),
    }),
  host: (id: string) =>
    queryOptions({
      queryKey: [types.bastionHost, id.toLowerCase()],
      queryFn: ({ signal }) => get<BastionHost>(resourceUrl(id), signal),
    }),
  sessions: (scope: string) =>
    queryOptions({
      queryKey: [types.bastionSession, scope.toLowerCase()],
      queryFn: ({ signal }) =>
        listAll<BastionSession>(armUrl(`${scope}/providers/Sekisho.Bastion/sessions`, 'sekisho.bastion'), signal),
      // Ends and beginnings are told; who watches is not.
      refetchInterval: 15_000,
    }),
  recordings: (scope: string, search: string) =>
    queryOptions({
      queryKey: [types.bastionRecording, scope.toLowerCase(), search],
      queryFn: ({ signal }) =>
        listAll<Recording>(
          armUrl(`${scope}/providers/Sekisho.Bastion/recordings`, 'sekisho.bastion', search ? { search } : {}),
          signal,
        ),
    }),
}

export const createBastionHost = (group: ResourceGroup, name: string, body: Pick<BastionHost, 'sku' | 'properties'>) =>
  resourceWrite<BastionHost>('PUT', `${group.id}/providers/Microsoft.Network/bastionHosts/${name}`, {
    body: { location: group.location, ...body },
  })

const sessionAction = ({ machine, sessionId }: BastionSession, verb: 'end' | 'message') =>
  armUrl(`${machine}/providers/Sekisho.Bastion/sessions/${encodeURIComponent(sessionId)}/${verb}`, 'sekisho.bastion')

/** For everybody who is in it; what runs in it ends, too. */
export const endBastionSession = (session: BastionSession): Write<void> => ({
  method: 'POST',
  url: sessionAction(session, 'end'),
  body: {},
  operation: 'Sekisho.Bastion/sessions/end/action',
  target: { name: session.account, id: session.machine },
  foresee: async () => {
    const url = armUrl(`${session.machine}/providers/Sekisho.Bastion/sessions`, 'sekisho.bastion')
    const { value } = await get<List<BastionSession>>(url)
    return value
      .filter(({ sessionId }) => sessionId === session.sessionId)
      .map(({ sessionId, userName, account, since }) => ({
        resourceId: sessionId,
        changeType: 'Delete',
        before: { displayName: userName, account, since },
        after: null,
      }))
  },
})

/** Shown over the terminals of everybody who is in it. */
export const messageBastionSession = (session: BastionSession, text: string): Write<void> => ({
  method: 'POST',
  url: sessionAction(session, 'message'),
  body: { text },
  operation: 'Sekisho.Bastion/sessions/message/action',
  target: { name: session.account, id: session.machine },
  foresee: async () => [
    { resourceId: session.sessionId, changeType: 'Modify', before: {}, after: { displayName: session.userName, text } },
  ],
})
