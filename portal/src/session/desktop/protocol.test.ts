import { describe, expect, test } from 'vitest'
import { controlFrame, readMessage } from './protocol.ts'

const u32 = (value: number) => [value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff]
const buffer = (...bytes: number[]) => new Uint8Array(bytes).buffer
const control = (value: unknown) => new Uint8Array([1, ...new TextEncoder().encode(JSON.stringify(value))]).buffer
const jpeg = (x: number, y: number, ...bytes: number[]) => [0, x, 0, y, ...u32(bytes.length), ...bytes]

describe('a frame', () => {
  test('has its number, its block, and JPEG tiles to the end', () => {
    const data = buffer(2, ...u32(70_000), ...u32(3), 7, 8, 9, ...jpeg(64, 0, 1, 2), ...jpeg(0, 64))
    expect(readMessage(data)).toEqual({
      lane: 'frame',
      frame: {
        number: 70_000,
        block: Uint8Array.of(7, 8, 9),
        jpegs: [
          { x: 64, y: 0, bytes: Uint8Array.of(1, 2) },
          { x: 0, y: 64, bytes: Uint8Array.of() },
        ],
      },
    })
  })

  test.each([
    ['half a head', buffer(2, 0, 0, 0, 1, 0)],
    ['a block longer than the message', buffer(2, ...u32(1), ...u32(4), 1, 2, 3)],
    ['a block of four gigabytes', buffer(2, ...u32(1), ...u32(0xffffffff), 1)],
    ['half the head of a JPEG', buffer(2, ...u32(1), ...u32(0), 0, 0, 0)],
    ['a JPEG longer than the message', buffer(2, ...u32(1), ...u32(0), 0, 0, 0, 0, ...u32(9), 1)],
    ['a lane that there is not', buffer(3, ...u32(1), ...u32(0))],
    ['nothing', buffer()],
  ])('that is broken counts as nothing: %s', (_, data) => {
    expect(readMessage(data)).toEqual({ lane: 'unknown' })
  })
})

describe('control', () => {
  test.each([
    [{ kind: 'size', width: 1280, height: 800 }],
    [{ kind: 'clipboard', text: '関所' }],
    [{ kind: 'pointer', shape: 'hidden' }],
    [{ kind: 'pointer', shape: 'image', x: 0, y: 0, width: 1, height: 1, data: 'AA==' }],
    [{ kind: 'something', of: 'a newer server' }],
  ])('is JSON of a kind: %j', (value) => {
    expect(readMessage(control(value))).toEqual({ lane: 'control', control: value })
  })

  test.each([
    [{ kind: 'size', width: 0, height: 800 }],
    [{ kind: 'size', width: 1280.5, height: 800 }],
    [{ kind: 'size', width: 100_000, height: 800 }],
    [{ kind: 'ready' }],
    [{ kind: 'clipboard' }],
    [{ kind: 'watchers' }],
    [{ kind: 'pointer', shape: 'image', width: 9000, height: 1, data: '' }],
    ['ready'],
    [null],
  ])('that makes no sense counts as nothing: %j', (value) => {
    expect(readMessage(control(value))).toEqual({ lane: 'unknown' })
  })

  test('of a browser is JSON in the same lane', () => {
    const frame = controlFrame({ kind: 'key', code: 'KeyA', down: true })
    expect(frame[0]).toBe(1)
    expect(JSON.parse(new TextDecoder().decode(frame.subarray(1)))).toEqual({ kind: 'key', code: 'KeyA', down: true })
  })
})
