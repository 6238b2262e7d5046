import { Connection, type LinkState, type Socket, type Ticket } from '../connection.ts'
import { type ClientControl, controlFrame, inputFrame, readFrame, type Ready, type ServerControl } from './protocol.ts'

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

/** A terminal's session: whoever listens sees each byte of output once and in order, over however many connections. */
export class TerminalLink {
  #have = 0
  /** The next output restores the screen as it is here, and is no output itself. */
  #restoresAt: number | undefined
  #acked = 0
  readonly #connection: Connection
  readonly #ears: Ears

  constructor(doors: Doors, ears: Ears, sessionId?: string) {
    this.#ears = ears
    this.#connection = new Connection(
      {
        ticket: doors.ticket,
        socket: (ticket) => {
          this.#acked = this.#have
          return doors.socket(ticket, this.#have)
        },
      },
      { onState: ears.onState, onMessage: (data) => this.#hear(data) },
      sessionId,
    )
  }

  get sessionId() {
    return this.#connection.sessionId
  }

  connect() {
    this.#connection.connect()
  }

  networkGone() {
    this.#connection.networkGone()
  }

  close() {
    this.#connection.close()
  }

  /** Keys. */
  send(bytes: Uint8Array<ArrayBuffer>) {
    for (let at = 0; at < bytes.length; at += inputPiece) {
      this.#connection.send(inputFrame(bytes.subarray(at, at + inputPiece)))
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

  #hear(data: ArrayBuffer) {
    const frame = readFrame(data)
    if (frame.lane === 'output') return this.#output(frame.at, frame.bytes)
    if (frame.lane !== 'control') return
    const { control } = frame
    if (control.kind === 'ready') {
      this.#connection.opened()
      this.#ears.onReady(control)
    } else if (control.kind === 'gap') {
      this.#gap(control.from)
      this.#restoresAt = control.from
    } else if (control.kind === 'ended') this.#connection.end(control.reason)
    else if (control.kind === 'alive') this.#connection.alive()
    else this.#ears.onControl(control)
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

  #tell(control: ClientControl) {
    this.#connection.send(controlFrame(control))
  }
}
