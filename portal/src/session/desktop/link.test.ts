import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { LinkState } from '../connection.ts'
import { DesktopLink } from './link.ts'
import type { Size } from './protocol.ts'

const ready = { kind: 'ready', sessionId: 's', mode: 'own', width: 800, height: 600, until: '2026-12-01T00:00:00Z' }

/** The server's end of a connection. */
class FakeSocket extends EventTarget {
  binaryType: BinaryType = 'blob'
  readyState = 1
  readonly sent: unknown[] = []
  send(data: Uint8Array) {
    this.sent.push(JSON.parse(new TextDecoder().decode(data.subarray(1))))
  }
  close() {}
  say(control: object) {
    this.#message(new Uint8Array([1, ...new TextEncoder().encode(JSON.stringify(control))]))
  }
  frame(number: number) {
    const data = new Uint8Array(9)
    data[0] = 2
    new DataView(data.buffer).setUint32(1, number)
    this.#message(data)
  }
  drop() {
    this.dispatchEvent(new Event('close'))
  }
  #message(data: Uint8Array<ArrayBuffer>) {
    this.dispatchEvent(new MessageEvent('message', { data: data.buffer }))
  }
}

function begun() {
  const sockets: FakeSocket[] = []
  const states: LinkState[] = []
  const sizes: Size[] = []
  const heard: unknown[] = []
  /** Frames that are being drawn: each waits for a verdict. */
  const drawing: ((isSound: boolean) => void)[] = []
  const link = new DesktopLink(
    {
      ticket: async () => ({ sessionId: 's', secret: 'x' }),
      socket: () => {
        const socket = new FakeSocket()
        sockets.push(socket)
        return socket
      },
    },
    {
      onState: (state) => states.push(state),
      onReady: () => undefined,
      onSize: ({ width, height }) => sizes.push({ width, height }),
      onFrame: () => new Promise((resolve) => drawing.push(resolve)),
      onControl: (control) => heard.push(control),
      onSaid: (said) => heard.push(said),
    },
  )
  link.connect()
  const socket = () => {
    const last = sockets.at(-1)
    if (!last) throw new Error('nobody has connected')
    return last
  }
  return { link, sockets, socket, states, sizes, heard, drawing }
}

const soon = () => vi.advanceTimersByTimeAsync(0)
const afterRetry = () => vi.advanceTimersByTimeAsync(15_000)

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('a frame is acknowledged when it is drawn, and not before', async () => {
  const { socket, drawing, sizes } = begun()
  await soon()
  socket().say(ready)
  expect(sizes).toEqual([{ width: 800, height: 600 }])
  socket().frame(7)
  await soon()
  expect(socket().sent).toEqual([])
  drawing[0]?.(true)
  await soon()
  expect(socket().sent).toEqual([{ kind: 'ack', frame: 7 }])
})

test('what was drawn of another connection is not acknowledged on this one', async () => {
  const { socket, sockets, drawing } = begun()
  await soon()
  socket().say(ready)
  socket().frame(1)
  socket().drop()
  await afterRetry()
  socket().say(ready)
  drawing[0]?.(true)
  await soon()
  expect(sockets).toHaveLength(2)
  expect(socket().sent).toEqual([])
})

test('a frame that does not fit is answered by another connection, which begins with a whole picture', async () => {
  const { socket, sockets, drawing, states } = begun()
  await soon()
  socket().say(ready)
  socket().frame(1)
  drawing[0]?.(false)
  await soon()
  expect(socket().sent).toEqual([])
  expect(states.at(-1)?.is).toBe('dropped')
  await afterRetry()
  expect(sockets).toHaveLength(2)
})

test('what the server says is heard by whom it concerns, and its last word is the last', async () => {
  const { socket, heard, states } = begun()
  await soon()
  socket().say(ready)
  socket().say({ kind: 'clipboard', text: 'x' })
  socket().say({ kind: 'watchers', people: [] })
  socket().say({ kind: 'ended', reason: 'Closed' })
  socket().drop()
  expect(heard).toEqual([
    { kind: 'clipboard', text: 'x' },
    { kind: 'watchers', people: [] },
  ])
  expect(states.at(-1)).toEqual({ is: 'ended', reason: 'Closed' })
})

test('what is too long for a server is not sent, and whoever sends it knows', async () => {
  const { link, socket } = begun()
  await soon()
  socket().say(ready)
  expect(link.tell({ kind: 'clipboard', text: 'x'.repeat(256 * 1024) })).toBe(false)
  expect(link.tell({ kind: 'clipboard', text: 'x' })).toBe(true)
  expect(socket().sent).toEqual([{ kind: 'clipboard', text: 'x' }])
})
