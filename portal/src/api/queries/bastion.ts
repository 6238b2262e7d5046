import { queryOptions } from '@tanstack/react-query'
import { nameOf } from '../../domain/armId.ts'
import { armUrl, resourceUrl } from '../arm.ts'
import { get, listAll } from '../client.ts'
import { types } from '../keys.ts'
import type { BastionHost, ResourceGroup } from '../types.ts'
import { resourceWrite, type Write } from '../writes.ts'

/** A session on a machine that is open. */
export type BastionSession = {
  sessionId: string
  host: string
  /** What the host is called in addresses. */
  place: string
  machine: string
  /** Empty: it does not log in, such as a tunnel. */
  account: string
  protocol: string
  userName: string
  address: string
  since: string
  recorded: 'off' | 'metadata' | 'full'
  /** Others can look at it, type in it, and say something to whoever has it. */
  terminal: boolean
  /** The same, though it is no terminal that is looked at. */
  desktop?: boolean
}
export type Recording = {
  id: string
  machine: string
  /** Empty: its protocol knows none. */
  account: string
  userName: string
  since: string
  until: string | null
  bytes: number
  /** `rdp`, `vnc`: of a desktop, whose columns and rows are pixels. */
  protocol?: string
  /** `interrupted`: it stops before its session did. `broken`: it does not verify. */
  state: 'open' | 'closed' | 'interrupted' | 'broken'
  columns: number
  rows: number
  /** Nobody may remove it until it is released. */
  hold?: { by: string; since: string; reason: string }
  /** Where a text that was searched for was on the screen: milliseconds from the beginning. */
  matches: { at: number; text: string }[]
}
type Row<Properties> = { name: string; properties: Properties }
type RecordingRow = Row<Omit<Recording, 'id' | 'account'> & { account: string | null }>

const recordingOf = ({ name, properties }: RecordingRow): Recording => ({
  ...properties,
  id: name,
  account: properties.account ?? '',
})

async function listSessions(scope: string, signal?: AbortSignal): Promise<BastionSession[]> {
  const url = armUrl(`${scope}/providers/Sekisho.Bastion/sessions`, 'sekisho.bastion')
  type Properties = Omit<BastionSession, 'sessionId' | 'account'> & { account: string | null }
  const rows = await listAll<Row<Properties>>(url, signal)
  return rows.map(({ name, properties }) => ({ ...properties, sessionId: name, account: properties.account ?? '' }))
}

export async function listRecordings(scope: string, search: string, signal?: AbortSignal): Promise<Recording[]> {
  const url = armUrl(`${scope}/providers/Sekisho.Bastion/recordings`, 'sekisho.bastion', search ? { search } : {})
  return (await listAll<RecordingRow>(url, signal)).map(recordingOf)
}

/** One recording, with the places where a text was on the screen. */
export async function getRecording(
  { machine, id }: Pick<Recording, 'machine' | 'id'>,
  search: string,
  signal?: AbortSignal,
): Promise<Recording> {
  const path = `${machine}/providers/Sekisho.Bastion/recordings/${encodeURIComponent(id)}`
  return recordingOf(await get<RecordingRow>(armUrl(path, 'sekisho.bastion', search ? { search } : {}), signal))
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
      queryFn: ({ signal }) => listSessions(scope, signal),
      // Ends and beginnings are told; who watches is not.
      refetchInterval: 15_000,
    }),
  recordings: (scope: string, search: string) =>
    queryOptions({
      queryKey: [types.bastionRecording, scope.toLowerCase(), search],
      queryFn: ({ signal }) => listRecordings(scope, search, signal),
    }),
}

export const createBastionHost = (group: ResourceGroup, name: string, body: Pick<BastionHost, 'sku' | 'properties'>) =>
  resourceWrite<BastionHost>('PUT', `${group.id}/providers/Microsoft.Network/bastionHosts/${name}`, {
    body: { location: group.location, ...body },
  })

const disconnectUrl = (host: string) => armUrl(`${host}/disconnectActiveSessions`, 'microsoft.network')

/** For everybody who is in it; what runs in it ends, too. */
export const endBastionSession = ({ host, machine, sessionId, account }: BastionSession): Write<void> => ({
  method: 'POST',
  url: disconnectUrl(host),
  body: { sessionIds: [sessionId] },
  operation: 'Microsoft.Network/bastionHosts/disconnectActiveSessions/action',
  target: { name: account || nameOf(machine), id: machine },
  foresee: async () =>
    (await listSessions(machine))
      .filter((session) => session.sessionId === sessionId)
      .map(({ userName, since }) => ({
        resourceId: sessionId,
        changeType: 'Delete',
        before: { displayName: userName, account, since },
        after: null,
      })),
})

export type RecordingDeed = 'hold' | 'release' | 'delete'

/** Holds a recording, so that nobody removes it, releases it, or removes it for good. */
export const keepRecording = ({ machine, id, userName }: Recording, deed: RecordingDeed, reason: string): Write => ({
  method: 'POST',
  url: armUrl(`${machine}/providers/Sekisho.Bastion/${deed}Recording`, 'sekisho.bastion'),
  body: { id, reason },
  operation: `Sekisho.Bastion/${deed}Recording/action`,
  target: { name: userName, id: machine },
})

/** Shown over the terminals of everybody who is in it. */
export const messageBastionSession = (
  { place, sessionId, userName, machine }: BastionSession,
  text: string,
): Write<void> => ({
  method: 'POST',
  url: `/bastions/${encodeURIComponent(place)}/api/sessions/${encodeURIComponent(sessionId)}/message`,
  body: { text },
  operation: 'Sekisho.Bastion/sessions/message/action',
  target: { name: userName, id: machine },
  foresee: async () => [
    { resourceId: sessionId, changeType: 'Modify', before: {}, after: { displayName: userName, text } },
  ],
})
