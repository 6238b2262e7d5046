import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { ApiError } from '../../api/errors.ts'
import { type LinkState, retryAfterMs, type Ticket } from '../connection.ts'
import { TerminalLink } from './link.ts'
import { utf8 } from './protocol.ts'

const ready = {
  kind: 'ready',
  sessionId: 's',
  account: 'alice',
  machine: 'vm',
  columns: 80,
  rows: 24,
  mode: 'own',
  copy: true,
  paste: true,
  upload: true,
  download: true,
  maxFileBytes: null,
  recorded: 'off',
  until: '2026-12-01T00:00:00Z',
  idleSeconds: null,
}

/** The server's end of a connection. */
class FakeSocket extends EventTarget {
  binaryType: BinaryType = 'blob'
  readyState = 1
  readonly sent: Uint8Array[] = []
  readonly have: number
  isClosed = false
  constructor(have: number) {
    super()
    this.have = have
  }
  send(data: Uint8Array) {
    this.sent.push(data)
  }
  close() {
    this.isClosed = true
  }
  say(control: object) {
    const data = new Uint8Array([1, ...utf8(JSON.stringify(control))]).buffer
    this.dispatchEvent(new MessageEvent('message', { data }))
  }
  output(at: number, text: string) {
    const data = new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 0, ...utf8(text)])
    new DataView(data.buffer).setBigUint64(1, BigInt(at))
    this.dispatchEvent(new MessageEvent('message', { data: data.buffer }))
  }
  drop() {
    this.dispatchEvent(new Event('close'))
  }
  controls() {
    return this.sent
      .filter((frame) => frame[0] === 1)
      .map((frame) => JSON.parse(new TextDecoder().decode(frame.subarray(1))) as unknown)
  }
}

function begun(answers: (Ticket | Error)[] = []) {
  const sockets: FakeSocket[] = []
  const asked: (string | undefined)[] = []
  const states: LinkState[] = []
  const heard: unknown[] = []
  let screen = ''
  const link = new TerminalLink(
    {
      ticket: async (sessionId) => {
        asked.push(sessionId)
        const answer = answers.shift() ?? { sessionId: 's', secret: 'x' }
        if (answer instanceof Error) throw answer
        return answer
      },
      socket: (_, have) => {
        const socket = new FakeSocket(have)
        sockets.push(socket)
        return socket
      },
    },
    {
      onState: (state) => states.push(state),
      onOutput: (bytes, upTo) => {
        screen += new TextDecoder().decode(bytes)
        link.written(upTo)
      },
      onGap: () => (screen = ''),
      onReady: () => undefined,
      onControl: (control) => heard.push(control),
    },
  )
  const socket = () => {
    const last = sockets.at(-1)
    if (!last) throw new Error('nobody has connected')
    return last
  }
  link.connect()
  return { link, sockets, socket, asked, states, heard, screen: () => screen }
}

const soon = () => vi.advanceTimersByTimeAsync(0)
const afterRetry = () => vi.advanceTimersByTimeAsync(15_000)

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

describe('a connection that drops', () => {
  test('is found again, from where output stopped', async () => {
    const { sockets, socket, asked, states, screen } = begun()
    await soon()
    socket().say(ready)
    socket().output(0, 'hello ')
    socket().drop()
    expect(states.at(-1)?.is).toBe('dropped')
    await afterRetry()
    expect(asked).toEqual([undefined, 's'])
    expect(sockets).toHaveLength(2)
    expect(socket().have).toBe(6)
    socket().say(ready)
    expect(states.at(-1)).toEqual({ is: 'open' })
    // The server may begin a little earlier than it was asked to.
    socket().output(2, 'llo world')
    expect(screen()).toBe('hello world')
  })

  test('is tried until the server says that there is nothing left', async () => {
    const { socket, asked, states } = begun([
      { sessionId: 's', secret: 'x' },
      new ApiError(0, undefined),
      new ApiError(503, undefined),
      new ApiError(429, undefined),
      new ApiError(410, undefined),
    ])
    await soon()
    socket().say(ready)
    socket().drop()
    for (let tries = 0; tries < 5; tries += 1) await afterRetry()
    expect(asked).toHaveLength(5)
    expect(states.at(-1)).toEqual({ is: 'ended', reason: 'Lost' })
    await afterRetry()
    expect(asked).toHaveLength(5)
  })

  test('waits for whoever must sign in again, and then goes on', async () => {
    const refused = new ApiError(401, undefined)
    const { link, sockets, socket, states } = begun([{ sessionId: 's', secret: 'x' }, refused])
    await soon()
    socket().say(ready)
    socket().drop()
    await afterRetry()
    expect(states.at(-1)).toEqual({ is: 'refused', error: refused })
    await afterRetry()
    expect(sockets).toHaveLength(1)
    link.connect()
    await soon()
    expect(sockets).toHaveLength(2)
  })

  test('is noticed at once when the network says so, and by silence once the server has said that it lives', async () => {
    const { link, sockets, socket, states } = begun()
    await soon()
    socket().say(ready)
    link.networkGone()
    expect(states.at(-1)?.is).toBe('dropped')
    expect(sockets[0]?.isClosed).toBe(true)
    await afterRetry()
    socket().say(ready)
    await vi.advanceTimersByTimeAsync(120_000)
    expect(states.at(-1)).toEqual({ is: 'open' })
    socket().say({ kind: 'alive' })
    await vi.advanceTimersByTimeAsync(39_000)
    socket().output(0, '.')
    await vi.advanceTimersByTimeAsync(39_000)
    expect(states.at(-1)).toEqual({ is: 'open' })
    await vi.advanceTimersByTimeAsync(1_001)
    expect(states.at(-1)?.is).toBe('dropped')
  })

  test('is tried later and later, but never later than 15 seconds', () => {
    expect([0, 1, 2, 3].map((failures) => retryAfterMs(failures, 1))).toEqual([500, 1_000, 2_000, 4_000])
    expect(retryAfterMs(40, 1)).toBe(15_000)
    expect(retryAfterMs(40, 0)).toBe(7_500)
  })
})

describe('a session that cannot begin', () => {
  test('is refused, and not asked for again by itself', async () => {
    const error = new ApiError(0, undefined)
    const { asked, states } = begun([error])
    await afterRetry()
    expect(states.at(-1)).toEqual({ is: 'refused', error })
    expect(asked).toHaveLength(1)
  })
})

describe('a session that ends', () => {
  test('by the word of the server stays ended', async () => {
    const { link, sockets, socket, states, heard } = begun()
    await soon()
    socket().say(ready)
    socket().say({ kind: 'exit', status: 3, signal: null })
    socket().say({ kind: 'ended', reason: 'Closed' })
    socket().drop()
    link.connect()
    await afterRetry()
    expect(heard).toEqual([{ kind: 'exit', status: 3, signal: null }])
    expect(states.at(-1)).toEqual({ is: 'ended', reason: 'Closed' })
    expect(sockets).toHaveLength(1)
  })
})

describe('output', () => {
  test('that is lost clears the screen, which the server then restores without counting it', async () => {
    const { socket, screen } = begun()
    await soon()
    socket().say(ready)
    socket().output(0, 'old')
    socket().say({ kind: 'gap', from: 100 })
    socket().output(100, 'a whole screen ')
    socket().output(100, 'and more')
    expect(screen()).toBe('a whole screen and more')
    socket().drop()
    await afterRetry()
    expect(socket().have).toBe(108)
  })

  test('that is lost without a word clears the screen, too', async () => {
    const { socket, screen } = begun()
    await soon()
    socket().say(ready)
    socket().output(0, 'old')
    socket().output(200, 'newest')
    expect(screen()).toBe('newest')
  })

  test('that comes twice is shown once', async () => {
    const { socket, screen } = begun()
    await soon()
    socket().say(ready)
    socket().output(0, 'once')
    socket().output(0, 'once')
    expect(screen()).toBe('once')
  })

  test('is acknowledged well before the server stops', async () => {
    const { socket } = begun()
    await soon()
    socket().say(ready)
    const piece = 'x'.repeat(40 * 1024)
    for (let at = 0; at < 5; at += 1) socket().output(at * piece.length, piece)
    expect(socket().controls()).toEqual([
      { kind: 'ack', upTo: 80 * 1024 },
      { kind: 'ack', upTo: 160 * 1024 },
    ])
  })
})

describe('input', () => {
  test('goes out in pieces, and nowhere while nobody listens', async () => {
    const { link, socket } = begun()
    await soon()
    link.send(utf8('too early'))
    expect(socket().sent).toEqual([])
    socket().say(ready)
    link.send(utf8('y'.repeat(70_000)))
    expect(socket().sent.map((frame) => frame.length)).toEqual([32_769, 32_769, 4_465])
  })
})
