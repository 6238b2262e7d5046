import { ApiError } from '../../api/errors.ts'
import {
  type ClientControl,
  controlFrame,
  type EndReason,
  inputFrame,
  readFrame,
  type Ready,
  type ServerControl,
} from './protocol.ts'

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
type Socket = EventTarget & {
  binaryType: BinaryType
  readonly readyState: number
  send: (frame: Uint8Array<ArrayBuffer>) => void
  close: () => void
}
export type Doors = {
  /** Begins the session, or finds it again. */
  ticket: (sessionId: string | undefined) => Promise<Ticket>
  /** `have`: the sequence number up to which output is here. */
  socket: (ticket: Ticket, have: number) => Socket
}
export type Ears = {
  onState: (state: LinkState) => void
  /** `upTo`: what `written` is to be told when these bytes are on the screen. */
  onOutput: (bytes: Uint8Array, upTo: number) => void
  /** Output is lost: what is on the screen and what comes do not fit together. */
  onGap: () => void
  onReady: (ready: Ready) => void
  onControl: (control: Exclude<ServerControl, Ready | { kind: 'gap' | 'ended' | 'alive' }>) => void
}

/** The server stops at 512 KiB that nobody has seen, and wants to hear at least every 128 KiB. */
const ackEvery = 64 * 1024
/** Of one message of input: a long paste must not be one that a server refuses. */
const inputPiece = 32 * 1024
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
 * One session on a machine, over as many connections as it takes: whoever listens sees each byte of output once and in
 * order. A connection that ends without the server's word is the network's doing, and the session is found again.
 */
export class TerminalLink {
  #state: LinkState = { is: 'connecting' }
  #socket: Socket | undefined
  #isOpening = false
  #sessionId: string | undefined
  #have = 0
  /** The next output restores the screen as it is here, and is no output itself. */
  #restoresAt: number | undefined
  #acked = 0
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

  /** Keys; what is typed while nobody listens is nowhere. */
  send(bytes: Uint8Array<ArrayBuffer>) {
    if (this.#state.is !== 'open') return
    for (let at = 0; at < bytes.length; at += inputPiece) {
      this.#socket?.send(inputFrame(bytes.subarray(at, at + inputPiece)))
    }
  }

  resize(columns: number, rows: number) {
    this.#tell({ kind: 'size', columns, rows })
  }

  written(upTo: number) {
    if (upTo - this.#acked < ackEvery) return
    this.#acked = upTo
    this.#tell({ kind: 'ack', upTo })
  }

  /** Lets go of the session, which may go on without us. */
  close() {
    if (this.#state.is !== 'ended') this.#end('Closed')
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
      if (final?.is === 'ended') this.#end(final.reason)
      else if (final) this.#say(final)
      else this.#wait()
      return
    } finally {
      this.#isOpening = false
    }
    this.#sessionId = ticket.sessionId
    if (isOver()) return
    this.#acked = this.#have
    const socket = this.#doors.socket(ticket, this.#have)
    socket.binaryType = 'arraybuffer'
    socket.addEventListener('message', (event) => {
      if (this.#socket !== socket || !(event instanceof MessageEvent)) return
      const data: unknown = event.data
      if (data instanceof ArrayBuffer) this.#hear(data)
    })
    socket.addEventListener('close', () => this.#dropped(socket))
    this.#socket = socket
  }

  #hear(data: ArrayBuffer) {
    const frame = readFrame(data)
    this.#listen(frame.lane === 'control' && frame.control.kind === 'alive')
    if (frame.lane === 'output') return this.#output(frame.at, frame.bytes)
    if (frame.lane !== 'control') return
    const { control } = frame
    if (control.kind === 'ready') {
      this.#failures = 0
      this.#say({ is: 'open' })
      this.#ears.onReady(control)
    } else if (control.kind === 'gap') {
      this.#gap(control.from)
      this.#restoresAt = control.from
    } else if (control.kind === 'ended') this.#end(control.reason)
    else if (control.kind !== 'alive') this.#ears.onControl(control)
  }

  /** Once a server has said that it lives, its silence means that it does not. */
  #listen(isAlive: boolean) {
    if (!isAlive && this.#silence === undefined) return
    clearTimeout(this.#silence)
    this.#silence = setTimeout(() => this.networkGone(), silenceMs)
  }

  #output(at: number, bytes: Uint8Array) {
    const isScreen = this.#restoresAt === at
    this.#restoresAt = undefined
    if (isScreen) return this.#ears.onOutput(bytes, at)
    const end = at + bytes.length
    if (end <= this.#have) return
    if (at > this.#have) this.#gap(at)
    const fresh = bytes.subarray(this.#have - at)
    this.#have = end
    this.#ears.onOutput(fresh, end)
  }

  #gap(from: number) {
    this.#have = from
    this.#acked = Math.max(this.#acked, from)
    this.#ears.onGap()
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

  #end(reason: EndReason) {
    this.#letGo()
    clearTimeout(this.#retry)
    this.#say({ is: 'ended', reason })
  }

  #letGo() {
    const socket = this.#socket
    this.#socket = undefined
    clearTimeout(this.#silence)
    this.#silence = undefined
    socket?.close()
  }

  #tell(control: ClientControl) {
    if (this.#state.is === 'open' && this.#socket?.readyState === isOpen) this.#socket.send(controlFrame(control))
  }

  #say(state: LinkState) {
    this.#state = state
    this.#ears.onState(state)
  }
}
