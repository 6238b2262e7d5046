import { describe, expect, test } from 'vitest'
import { advance, clock, type Frame, framesOf, lasting, parseSize, Track } from './frames.ts'

const frame = (atMs: number, kind: Frame['kind'] = 'o'): Frame => ({ atMs, kind, text: `${kind}${atMs}` })

test('a line that is no frame is left out', () => {
  const lines = [[0, 'k', 'x'], [1, 'o', '日本'], [2, 'z', '?'], {}, null, ['3', 'o', '?'], [4, 'r', '80x24']]
  expect(framesOf(lines)).toEqual([
    { atMs: 0, kind: 'k', text: 'x' },
    { atMs: 1, kind: 'o', text: '日本' },
    { atMs: 4, kind: 'r', text: '80x24' },
  ])
})

test.each([
  ['80x24', { columns: 80, rows: 24 }],
  ['0x24', undefined],
  ['99999x1', undefined],
  ['80', undefined],
  ['', undefined],
])('%j is the size %j', (text, size) => {
  expect(parseSize(text)).toEqual(size)
})

describe('a track', () => {
  test('gives each frame out once, when its time has come', () => {
    const track = new Track()
    track.start([frame(900, 'k'), frame(950), frame(1_200)], 2_000)
    expect(track.take(1_000).map(({ atMs }) => atMs)).toEqual([900, 950])
    expect(track.take(1_100)).toEqual([])
    expect(track.nextMs).toBe(1_200)
    expect(track.take(5_000)).toHaveLength(1)
    expect(track.nextMs).toBeUndefined()
  })

  test('shows nothing twice where two pieces of time meet', () => {
    const track = new Track()
    track.start([frame(0, 'k'), frame(10)], 1_000)
    // The server begins at the last key frame, which may lie before what was asked for.
    track.append([frame(0, 'k'), frame(10), frame(1_000), frame(1_500)], 2_000)
    expect(track.take(9_999).map(({ kind, atMs }) => `${kind}${atMs}`)).toEqual(['k0', 'o10', 'o1000', 'o1500'])
    expect(track.loadedMs).toBe(2_000)
  })

  test('knows whether anything happens in a piece of time', () => {
    const track = new Track()
    track.start([frame(0, 'g'), frame(0, 'T')], 1_000)
    // What a piece begins with is known already.
    expect(track.append([frame(0, 'g'), frame(0, 'T')], 2_000)).toBe(false)
    expect(track.append([frame(0, 'g'), frame(0, 'T'), frame(2_500, 'T'), frame(2_600, 't')], 3_000)).toBe(true)
    expect(track.take(9_999).map(({ kind, atMs }) => `${kind}${atMs}`)).toEqual(['g0', 'T0', 'T2500', 't2600'])
  })
})

describe('of the frames of a desktop', () => {
  const names = (frames: Frame[]) => lasting(frames).map(({ kind, atMs }) => `${kind}${atMs}`)
  test('only those from the last key frame on are drawn, in the size that holds then', () => {
    const before = [frame(0, 'g'), frame(0, 'T'), frame(10, 't'), frame(20, 'g'), frame(20, 'T'), frame(25, 't')]
    expect(names([...before, frame(30, 'T'), frame(35, 't'), frame(40, 'g')])).toEqual(['g20', 'T30', 't35', 'g40'])
  })
  test('all are drawn where there is no key frame among them', () => {
    expect(names([frame(5, 't'), frame(6, 't')])).toEqual(['t5', 't6'])
  })
})

describe('the clock', () => {
  const at = { positionMs: 1_000, elapsedMs: 100, speed: 2, skipsIdle: true }
  test('runs at its speed', () => {
    expect(advance({ ...at, skipsIdle: false, nextMs: 1_000_000 })).toBe(1_200)
    expect(advance({ ...at, nextMs: 1_100 })).toBe(1_200)
  })
  test('skips what nothing happens in, but never what is about to', () => {
    expect(advance({ ...at, nextMs: 1_000_000 })).toBe(997_000)
    expect(advance({ ...at, nextMs: 4_000 })).toBe(1_200)
    expect(advance({ ...at, nextMs: undefined })).toBe(1_200)
  })
  test('is written as people write it', () => {
    expect([0, 61_000, 3_723_999].map(clock)).toEqual(['0:00', '1:01', '1:02:03'])
  })
})
