import { describe, expect, test } from 'vitest'
import { controlFrame, inputFrame, latin1, readFrame, utf8 } from './protocol.ts'

const buffer = (...bytes: number[]) => new Uint8Array(bytes).buffer
const control = (text: string) => new Uint8Array([1, ...utf8(text)]).buffer

describe('what a server sends', () => {
  test('output says where its first byte stands', () => {
    const frame = readFrame(buffer(0, 0, 0, 0, 1, 0, 0, 0, 2, 0xe6, 0x97, 0xa5))
    expect(frame).toEqual({ lane: 'output', at: 2 ** 32 + 2, bytes: new Uint8Array([0xe6, 0x97, 0xa5]) })
  })

  test('output without a byte is output', () => {
    expect(readFrame(buffer(0, 0, 0, 0, 0, 0, 0, 0, 7))).toEqual({ lane: 'output', at: 7, bytes: new Uint8Array() })
  })

  test('control is JSON of a kind', () => {
    expect(readFrame(control('{"kind":"gap","from":9}'))).toEqual({
      lane: 'control',
      control: { kind: 'gap', from: 9 },
    })
  })

  test.each([
    ['nothing', buffer()],
    ['another lane', buffer(2, 1, 2, 3)],
    ['half a sequence number', buffer(0, 0, 0, 1)],
    ['a sequence number that no number can be', buffer(0, 0x7f, 0, 0, 0, 0, 0, 0, 0, 1)],
    ['no JSON', control('{')],
    ['JSON of no kind', control('{"from":9}')],
    ['JSON that is no object', control('"ready"')],
    ['JSON null', control('null')],
    ['no UTF-8', buffer(1, 0x22, 0xff, 0x22)],
  ])('%s counts as nothing', (_, data) => {
    expect(readFrame(data)).toEqual({ lane: 'unknown' })
  })
})

describe('what a browser sends', () => {
  test('keys are UTF-8', () => {
    expect([...inputFrame(utf8('日'))]).toEqual([0, 0xe6, 0x97, 0xa5])
  })

  test('reports of the mouse are bytes', () => {
    expect([...inputFrame(latin1('\x1b[M \xff!'))]).toEqual([0, 0x1b, 0x5b, 0x4d, 0x20, 0xff, 0x21])
  })

  test('control is JSON', () => {
    const frame = controlFrame({ kind: 'ack', upTo: 131_072 })
    expect(frame[0]).toBe(1)
    expect(JSON.parse(new TextDecoder().decode(frame.subarray(1)))).toEqual({ kind: 'ack', upTo: 131_072 })
  })
})
