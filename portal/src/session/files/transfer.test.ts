import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { download, nothing, pieceBytes, upload } from './transfer.ts'

const at = { place: 'p', sessionId: 's' }
const { signal } = new AbortController()

/** A machine with one file, behind a network that fails at the given requests. */
function machine(contents: Uint8Array<ArrayBuffer>, failing: number[]) {
  const state = { contents, requests: [] as string[], tag: '"1"' }
  vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
    const query = new URL(url, 'https://x').searchParams
    const { method = 'GET' } = init
    const range = new Headers(init.headers).get('range')
    const isFailing = failing.includes(state.requests.length)
    state.requests.push(`${method} ${query.get('offset') ?? range ?? ''}`.trim())
    const headers = { 'content-length': String(state.contents.length), etag: state.tag }
    if (method === 'HEAD') return new Response(null, { headers })
    if (method === 'PUT') {
      const offset = Number(query.get('offset'))
      const bytes = new Uint8Array(await (init.body as Blob).arrayBuffer())
      const kept = state.contents.slice(0, offset)
      // What was lost on the way was stored in part.
      const stored = isFailing ? bytes.slice(0, 1_000) : bytes
      state.contents = new Uint8Array(Buffer.concat([kept, stored]))
      if (isFailing) throw new TypeError('network')
      return Response.json({ bytes: state.contents.length, sha256: 'abc' })
    }
    const first = range && new Headers(init.headers).get('if-range') === state.tag ? Number(range.slice(6, -1)) : 0
    const rest = state.contents.slice(first)
    const body = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          controller.enqueue(isFailing ? rest.slice(0, 10) : rest)
          if (isFailing) controller.error(new TypeError('network'))
          else controller.close()
        },
      },
      { highWaterMark: 0 },
    )
    return new Response(body, {
      status: first > 0 ? 206 : 200,
      headers: { etag: state.tag, 'content-length': String(rest.length) },
    })
  })
  return state
}

const bytesOf = async (blob: Blob) => new Uint8Array(await blob.arrayBuffer())
const pattern = (length: number) => Uint8Array.from({ length }, (_, byte) => byte % 251)

/** Waits for what waits between its tries, without waiting. */
async function quickly<T>(running: Promise<T>) {
  const state = { isOver: false }
  const over = () => (state.isOver = true)
  running.then(over, over)
  while (!state.isOver) {
    await vi.advanceTimersByTimeAsync(1_000)
    await new Promise(setImmediate)
  }
  return running
}

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

describe('an upload', () => {
  test('goes in pieces, and says what the server made of it', async () => {
    const file = pattern(pieceBytes + 5)
    const there = machine(new Uint8Array(), [])
    const progress: number[] = []
    const stored = await quickly(upload(at, '/f', new Blob([file]), 0, (done) => progress.push(done), signal))
    expect(stored.sha256).toBe('abc')
    expect(there.requests).toEqual(['PUT 0', `PUT ${pieceBytes}`])
    expect(progress).toEqual([0, pieceBytes, pieceBytes + 5])
    expect(Buffer.compare(there.contents, file)).toBe(0)
  })

  test('goes on where the network broke off', async () => {
    const file = pattern(pieceBytes + 5)
    const there = machine(new Uint8Array(), [1])
    await quickly(upload(at, '/f', new Blob([file]), 0, () => undefined, signal))
    // Of the second piece, five bytes were stored: all of it.
    expect(there.requests.slice(0, 3)).toEqual(['PUT 0', `PUT ${pieceBytes}`, 'HEAD'])
    expect(Buffer.compare(there.contents, file)).toBe(0)
  })

  test('of nothing makes an empty file', async () => {
    const there = machine(pattern(3), [])
    await quickly(upload(at, '/f', new Blob([]), 0, () => undefined, signal))
    expect(there.requests).toEqual(['PUT 0'])
    expect(there.contents.length).toBe(0)
  })
})

describe('a download', () => {
  test('goes on where the network broke off', async () => {
    const there = machine(pattern(100), [0, 1])
    const blob = await quickly(download(at, '/f', nothing(), () => undefined, signal))
    expect(there.requests).toEqual(['GET', 'GET bytes=10-', 'GET bytes=20-'])
    expect(Buffer.compare(await bytesOf(blob), pattern(100))).toBe(0)
  })

  test('begins anew when the file is another one', async () => {
    const there = machine(pattern(100), [0])
    const blob = await quickly(download(at, '/f', nothing(), () => (there.tag = '"2"'), signal))
    expect(Buffer.compare(await bytesOf(blob), pattern(100))).toBe(0)
  })

  test('gives up when nothing comes', async () => {
    vi.stubGlobal('fetch', async () => {
      throw new TypeError('network')
    })
    await expect(quickly(download(at, '/f', nothing(), () => undefined, signal))).rejects.toMatchObject({ status: 0 })
  })
})
