import { resourceUrl } from '../api/arm.ts'
import { call, get } from '../api/client.ts'
import { placeOf, type WatchTarget } from '../domain/bastion.ts'
import type { Ticket } from './connection.ts'

type Host = { properties: { dnsName?: string } }

async function findPlace(host: string) {
  const { properties } = await get<Host>(resourceUrl(host))
  const place = placeOf(properties.dnsName)
  if (!place) throw new Error(`${host} has no address`)
  return place
}

/** What a host is called in addresses; asked for once, and again only if that failed. */
export class Place {
  /** Empty, as long as nobody knows it. */
  now = ''
  #found: Promise<string> | undefined
  readonly #host: string

  constructor({ host, place }: { host: string; place?: string }) {
    this.#host = host
    this.#found = place ? Promise.resolve(place) : undefined
  }

  async find() {
    this.#found ??= findPlace(this.#host)
    try {
      this.now = await this.#found
    } catch (error) {
      this.#found = undefined
      throw error
    }
    return this.now
  }
}

const sessions = (place: string) => `/bastions/${encodeURIComponent(place)}/api/sessions`
const post = (url: string, body: object) => call<Ticket>('POST', url, { body })

export const beginTerminal = (place: string, body: object) => post(sessions(place), body)

export const beginDesktop = (place: string, body: object) =>
  post(`/bastions/${encodeURIComponent(place)}/api/desktops`, body)

export const resume = (place: string, sessionId: string) =>
  post(`${sessions(place)}/${encodeURIComponent(sessionId)}/resume`, {})

export const watch = (place: string, { session, mode }: WatchTarget) =>
  post(`${sessions(place)}/${encodeURIComponent(session)}/watch`, { mode })

/** One of one's own, for everybody who is in it. */
export const endSession = (place: string, sessionId: string) =>
  call<void>('POST', `${sessions(place)}/${encodeURIComponent(sessionId)}/end`, { body: {} })

/** `secret` is good once and for seconds, so that it may stand in an address. */
export function openSocket(
  place: string,
  shows: 'terminal' | 'desktop',
  { secret }: Ticket,
  subprotocol: string,
  query: Record<string, string> = {},
) {
  const url = new URL(`/bastions/${encodeURIComponent(place)}/${shows}/${encodeURIComponent(secret)}`, location.origin)
  url.protocol = url.protocol === 'http:' ? 'ws:' : 'wss:'
  url.search = new URLSearchParams(query).toString()
  return new WebSocket(url, subprotocol)
}
