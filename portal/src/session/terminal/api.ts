import { resourceUrl } from '../../api/arm.ts'
import { call, get } from '../../api/client.ts'
import { placeOf, type SessionTarget, type WatchTarget } from '../../domain/bastion.ts'
import type { Ticket } from '../connection.ts'
import { subprotocol } from './protocol.ts'

type Host = { properties: { dnsName?: string } }

/** Where a host is spoken with. */
export async function findPlace(host: string) {
  const { properties } = await get<Host>(resourceUrl(host))
  const place = placeOf(properties.dnsName)
  if (!place) throw new Error(`${host} has no address`)
  return place
}

const sessions = (place: string) => `/bastions/${encodeURIComponent(place)}/api/sessions`
const post = (url: string, body: object) => call<Ticket>('POST', url, { body })

export type Begin = { link: string } | SessionTarget
type Size = { columns: number; rows: number }

export const begin = (place: string, how: Begin, size: Size) =>
  post(
    sessions(place),
    'link' in how ? { link: how.link, ...size } : { resourceId: how.machine, account: how.account, ...size },
  )

export const resume = (place: string, sessionId: string) =>
  post(`${sessions(place)}/${encodeURIComponent(sessionId)}/resume`, {})

export const watch = (place: string, { session, mode }: WatchTarget) =>
  post(`${sessions(place)}/${encodeURIComponent(session)}/watch`, { mode })

/** One of one's own, for everybody who is in it. */
export const endSession = (place: string, sessionId: string) =>
  call<void>('POST', `${sessions(place)}/${encodeURIComponent(sessionId)}/end`, { body: {} })

/** `secret` is good once and for seconds, so that it may stand in an address. */
export function openSocket(place: string, { secret }: Ticket, have: number) {
  const url = new URL(`/bastions/${encodeURIComponent(place)}/terminal/${encodeURIComponent(secret)}`, location.origin)
  url.protocol = url.protocol === 'http:' ? 'ws:' : 'wss:'
  url.searchParams.set('have', String(have))
  return new WebSocket(url, subprotocol)
}
