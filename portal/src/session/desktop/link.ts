import { Connection, type LinkState, type Socket, type Ticket } from '../connection.ts'
import type { Said } from '../wire.ts'
import {
  type ClientControl,
  controlFrame,
  longestMessage,
  readMessage,
  type Ready,
  type ServerControl,
  type Size,
  type Tiles,
} from './protocol.ts'

export type Doors = { ticket: (sessionId: string | undefined) => Promise<Ticket>; socket: (ticket: Ticket) => Socket }
export type Ears = {
  onState: (state: LinkState) => void
  onReady: (ready: Ready) => void
  /** The next frame is whole, and has this size. */
  onSize: (size: Size) => void
  /** Answers, once it is drawn, whether it was a sound one. */
  onFrame: (frame: Tiles) => Promise<boolean>
  onControl: (control: Exclude<ServerControl, Ready | { kind: 'size' | 'ended' | 'alive' } | Said>) => void
  onSaid: (said: Said) => void
}

/**
 * A desktop's session. Each connection begins with a whole picture; a frame is acknowledged when it can be seen, so that
 * a server sends no more of them than are looked at.
 */
export class DesktopLink {
  /** Which connection it is: what is drawn late of another one is not acknowledged. */
  #nth = 0
  readonly #connection: Connection
  readonly #ears: Ears

  constructor({ ticket, socket }: Doors, ears: Ears, sessionId?: string) {
    this.#ears = ears
    const open = (what: Ticket) => {
      this.#nth += 1
      return socket(what)
    }
    const { onState } = ears
    this.#connection = new Connection(
      { ticket, socket: open },
      { onState, onMessage: (data) => this.#hear(data) },
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

  /** Whether a server would take it. */
  tell(control: ClientControl) {
    const frame = controlFrame(control)
    if (frame.length > longestMessage) return false
    this.#connection.send(frame)
    return true
  }

  #hear(data: ArrayBuffer) {
    const message = readMessage(data)
    if (message.lane === 'frame') return void this.#draw(message.frame)
    if (message.lane !== 'control') return
    const { control } = message
    switch (control.kind) {
      case 'ready':
        this.#connection.opened()
        this.#ears.onReady(control)
        return this.#ears.onSize(control)
      case 'size':
        return this.#ears.onSize(control)
      case 'alive':
        return this.#connection.alive()
      case 'ended':
        return this.#connection.end(control.reason)
      case 'watchers':
      case 'message':
      case 'warning':
        return this.#ears.onSaid(control)
      default:
        this.#ears.onControl(control)
    }
  }

  async #draw(frame: Tiles) {
    const nth = this.#nth
    const isSound = await this.#ears.onFrame(frame)
    if (nth !== this.#nth) return
    if (isSound) this.tell({ kind: 'ack', frame: frame.number })
    // What is seen and what comes do not fit together: another connection begins with a whole picture.
    else this.#connection.networkGone()
  }
}
