// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { ApiError } from '../../api/errors.ts'
import type { DesktopTarget, WatchTarget } from '../../domain/bastion.ts'
import { DesktopSession, offered } from './session.ts'

const { begun, sockets, answers } = vi.hoisted(() => ({
  begun: [] as ({ password?: string; width: number; height: number } | 'resumed' | 'watched')[],
  sockets: [] as FakeSocket[],
  answers: [] as Error[],
}))

class FakeSocket extends EventTarget {
  binaryType: BinaryType = 'blob'
  readyState = 1
  readonly sent: { kind: string }[] = []
  send(data: Uint8Array) {
    this.sent.push(JSON.parse(new TextDecoder().decode(data.subarray(1))) as { kind: string })
  }
  close() {}
  say(control: object) {
    const { buffer } = new Uint8Array([1, ...new TextEncoder().encode(JSON.stringify(control))])
    this.dispatchEvent(new MessageEvent('message', { data: buffer }))
  }
}

vi.mock('../api.ts', () => {
  const ticket = async () => {
    const refusal = answers.shift()
    if (refusal) throw refusal
    return { sessionId: 's', secret: 'x' }
  }
  class Place {
    now = 'p'
    find = async () => 'p'
  }
  return {
    Place,
    beginDesktop: (_: string, body: (typeof begun)[number]) => {
      begun.push(body)
      return ticket()
    },
    resume: () => {
      begun.push('resumed')
      return ticket()
    },
    watch: () => {
      begun.push('watched')
      return ticket()
    },
    openSocket: () => {
      const socket = new FakeSocket()
      sockets.push(socket)
      return socket
    },
  }
})

const machine = '/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/vm'
const typed: DesktopTarget = { machine, host: 'h', protocol: 'rdp', account: 'alice' }
const watched: WatchTarget = { machine, host: 'h', session: 's', mode: 'readOnly' }
const ready = { kind: 'ready', sessionId: 's', mode: 'own', copy: true, paste: true, width: 800, height: 600 }
const refusal = (code: string) => new ApiError(403, { error: { code, message: code } })

const made: DesktopSession[] = []
function session(target: DesktopTarget | WatchTarget, sessionId?: string, link?: string) {
  const kept: (string | undefined)[] = []
  const one = new DesktopSession(
    target,
    { sessionId, link },
    { onLeave: () => undefined, onKept: (id) => kept.push(id) },
  )
  made.push(one)
  one.connect()
  return { session: one, kept }
}
const passwords = () => begun.map((body) => (typeof body === 'string' ? body : body.password))
const soon = () => vi.advanceTimersByTimeAsync(0)
const socket = () => {
  const last = sockets.at(-1)
  if (!last) throw new Error('nobody has connected')
  return last
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => {
  for (const one of made.splice(0)) one.dispose()
  for (const list of [begun, sockets, answers]) list.length = 0
  vi.useRealTimers()
  vi.restoreAllMocks()
})

describe('a password', () => {
  test('that is to be typed is waited for, sent once, and not there when the session is found again', async () => {
    const { session: one } = session(typed)
    await soon()
    expect(one.shown.asks).toBe(true)
    expect(begun).toEqual([])
    one.begin('secret')
    await soon()
    socket().say(ready)
    socket().dispatchEvent(new Event('close'))
    await vi.advanceTimersByTimeAsync(15_000)
    expect(passwords()).toEqual(['secret', 'resumed'])
    expect(JSON.stringify(one.shown)).not.toContain('secret')
  })

  test('that is wrong is asked for again, and never sent twice', async () => {
    const { session: one } = session(typed)
    answers.push(refusal('DesktopCredentialsRefused'))
    one.begin('wrong')
    await soon()
    expect(one.shown.asks).toBe(true)
    one.connect()
    await soon()
    expect(passwords()).toEqual(['wrong'])
  })

  test('that was sent to a server that did not answer is asked for again, and the kept one not taken instead', async () => {
    const { session: one } = session(typed)
    answers.push(new ApiError(0, undefined))
    one.begin('secret')
    await soon()
    expect(one.shown).toMatchObject({ asks: false, link: { is: 'refused' } })
    one.connect()
    await soon()
    expect(one.shown.asks).toBe(true)
    expect(passwords()).toEqual(['secret'])
  })

  test('that is typed for a desktop that is lent goes with the link, which says all else', async () => {
    const { session: one } = session(typed, undefined, 'token')
    one.begin('secret')
    await soon()
    expect(begun).toEqual([expect.objectContaining({ link: 'token', password: 'secret' })])
    expect(begun[0]).not.toHaveProperty('machine')
    expect(begun[0]).not.toHaveProperty('account')
  })

  test('that is kept is not asked for, unless there is none', async () => {
    const { session: one } = session({ ...typed, kept: true })
    answers.push(refusal('DesktopCredentialsMissing'))
    await soon()
    expect(passwords()).toEqual([undefined])
    expect(one.shown.asks).toBe(true)
  })

  test('that a desktop does not ask for is none, and not an empty one', async () => {
    const { session: one } = session({ machine, host: 'h', protocol: 'vnc' })
    one.begin('')
    await soon()
    expect(passwords()).toEqual([undefined])
  })

  test('is gone once it was sent, whatever came of it', async () => {
    const { session: one } = session({ ...typed, kept: true })
    answers.push(refusal('DesktopCredentialsMissing'), new ApiError(0, undefined))
    await soon()
    one.begin('secret')
    await soon()
    one.connect()
    await soon()
    expect(passwords()).toEqual([undefined, 'secret', undefined])
  })

  test('is nobody’s who finds a session again or looks at another’s', async () => {
    expect(session(typed, 's').session.shown.asks).toBe(false)
    expect(session(watched).session.shown.asks).toBe(false)
    await soon()
    expect(passwords()).toEqual(['resumed', 'watched'])
  })
})

test('a window keeps the id of its session for as long as that lasts', async () => {
  const { kept } = session({ ...typed, kept: true })
  await soon()
  socket().say(ready)
  socket().say({ kind: 'ended', reason: 'Closed' })
  expect(kept).toEqual(['s', undefined])
})

test('the size that is asked for is one that machines can have', () => {
  expect(offered({ width: 1281, height: 801.6 })).toEqual({ width: 1280, height: 801 })
  expect(offered({ width: 50, height: 20_000 })).toEqual({ width: 200, height: 8192 })
})

describe('what the machine copied', () => {
  test('waits for somebody to ask for it where the browser wants that', async () => {
    const write = vi.spyOn(navigator.clipboard, 'writeText').mockRejectedValueOnce(new Error('nobody pressed anything'))
    write.mockResolvedValue(undefined)
    const { session: one } = session({ ...typed, kept: true })
    await soon()
    socket().say(ready)
    socket().say({ kind: 'clipboard', text: 'text' })
    await soon()
    expect(one.shown.copied).toBe('text')
    one.takeCopied()
    await soon()
    expect(write).toHaveBeenLastCalledWith('text')
    expect(one.shown.copied).toBeUndefined()
  })

  test('reaches the clipboard of nobody who only looks, nor against the policy', async () => {
    const write = vi.spyOn(navigator.clipboard, 'writeText').mockResolvedValue(undefined)
    session(watched)
    await soon()
    socket().say({ ...ready, mode: 'readOnly' })
    socket().say({ kind: 'clipboard', text: 'text' })
    session({ ...typed, kept: true })
    await soon()
    socket().say({ ...ready, copy: false })
    socket().say({ kind: 'clipboard', text: 'text' })
    await soon()
    expect(write).not.toHaveBeenCalled()
  })
})

test('too much to paste is not sent, and said', async () => {
  const { session: one } = session({ ...typed, kept: true })
  await soon()
  socket().say(ready)
  one.paste('x'.repeat(300_000))
  expect(one.shown.isTooLong).toBe(true)
  expect(socket().sent.filter(({ kind }) => kind === 'clipboard')).toEqual([])
})
