import { ApiError } from '../api/errors.ts'
import type { EndReason } from './wire.ts'

/** What opens one connection of a session, once. */
export type Ticket = { sessionId: string; secret: string }
export type LinkState =
  | { is: 'connecting' }
  | { is: 'open' }
  /** The network went away, and is tried again. */
  | { is: 'dropped'; retryAtMs: number }
  | { is: 'refused'; error: unknown }
  | { is: 'ended'; reason: EndReason }

/** What of a WebSocket is used. */
export type Socket = EventTarget & {
  binaryType: BinaryType
  readonly readyState: number
  send: (frame: Uint8Array<ArrayBuffer>) => void
  close: () => void
}
type Doors = {
  /** Begins the session, or finds it again. */
  ticket: (sessionId: string | undefined) => Promise<Ticket>
  socket: (ticket: Ticket) => Socket
}
type Ears = {
  onState: (state: LinkState) => void
  onMessage: (data: ArrayBuffer) => void
}

const firstRetryMs = 500
const longestRetryMs = 15_000
/** A server that says that it is alive does so every 15 seconds. */
const silenceMs = 40_000
const isOpen = 1

/** Before the nth try in a row: longer each time, and never the same for everybody whose network came back. */
export const retryAfterMs = (failures: number, random: number) =>
  Math.min(longestRetryMs, firstRetryMs * 2 ** failures) * (0.5 + random / 2)

/** A refusal that more of the same cannot change. */
function verdict(error: unknown): LinkState | undefined {
  if (!(error instanceof ApiError)) return { is: 'refused', error }
  if (error.status === 410 || error.status === 404) return { is: 'ended', reason: 'Lost' }
  if (error.status === 0 || error.status === 429 || error.status >= 500) return
  return { is: 'refused', error }
}

/**
 * One session on a machine, over as many connections as it takes. One that ends without the server's word is the
 * network's doing, and the session is found again. What the messages say is for whoever listens, who tells what of it is
 * about the connection.
 */
export class Connection {
  #state: LinkState = { is: 'connecting' }
  #socket: Socket | undefined
  #isOpening = false
  #sessionId: string | undefined
  #failures = 0
  #retry: ReturnType<typeof setTimeout> | undefined
  #silence: ReturnType<typeof setTimeout> | undefined
  readonly #doors: Doors
  readonly #ears: Ears

  constructor(doors: Doors, ears: Ears, sessionId?: string) {
    this.#doors = doors
    this.#ears = ears
    this.#sessionId = sessionId
  }

  get state() {
    return this.#state
  }

  get sessionId() {
    return this.#sessionId
  }

  /** Connects; after a refusal or while waiting, at once. */
  connect() {
    if (this.#state.is === 'ended' || this.#socket || this.#isOpening) return
    clearTimeout(this.#retry)
    this.#say({ is: 'connecting' })
    void this.#open()
  }

  /** A network that says it is gone is not waited for. */
  networkGone() {
    if (this.#socket) this.#dropped(this.#socket)
  }

  /** What is sent while nobody listens is nowhere. */
  send(frame: Uint8Array<ArrayBuffer>) {
    if (this.#state.is === 'open' && this.#socket?.readyState === isOpen) this.#socket.send(frame)
  }

  /** Lets go of the session, which may go on without us. */
  close() {
    if (this.#state.is !== 'ended') this.end('Closed')
  }

  /** The server has said that the session is there. */
  opened() {
    this.#failures = 0
    this.#say({ is: 'open' })
  }

  /** The server has said that it lives: from now on, its silence means that it does not. */
  alive() {
    clearTimeout(this.#silence)
    this.#silence = setTimeout(() => this.networkGone(), silenceMs)
  }

  /** The server has said that the session is over. */
  end(reason: EndReason) {
    this.#letGo()
    clearTimeout(this.#retry)
    this.#say({ is: 'ended', reason })
  }

  async #open() {
    const isOver = () => this.#state.is === 'ended'
    let ticket: Ticket
    this.#isOpening = true
    try {
      ticket = await this.#doors.ticket(this.#sessionId)
    } catch (error) {
      if (isOver()) return
      const final = this.#sessionId === undefined ? ({ is: 'refused', error } as const) : verdict(error)
      if (final?.is === 'ended') this.end(final.reason)
      else if (final) this.#say(final)
      else this.#wait()
      return
    } finally {
      this.#isOpening = false
    }
    this.#sessionId = ticket.sessionId
    if (isOver()) return
    const socket = this.#doors.socket(ticket)
    socket.binaryType = 'arraybuffer'
    socket.addEventListener('message', (event) => {
      if (this.#socket !== socket || !(event instanceof MessageEvent)) return
      const data: unknown = event.data
      if (!(data instanceof ArrayBuffer)) return
      if (this.#silence !== undefined) this.alive()
      this.#ears.onMessage(data)
    })
    socket.addEventListener('close', () => this.#dropped(socket))
    this.#socket = socket
  }

  #dropped(socket: Socket) {
    if (this.#socket !== socket) return
    this.#letGo()
    this.#wait()
  }

  #wait() {
    const afterMs = retryAfterMs(this.#failures, Math.random())
    this.#failures += 1
    this.#say({ is: 'dropped', retryAtMs: Date.now() + afterMs })
    this.#retry = setTimeout(() => this.connect(), afterMs)
  }

  #letGo() {
    const socket = this.#socket
    this.#socket = undefined
    clearTimeout(this.#silence)
    this.#silence = undefined
    socket?.close()
  }

  #say(state: LinkState) {
    this.#state = state
    this.#ears.onState(state)
  }
}
