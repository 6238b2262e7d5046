import { afterEach, expect, test, vi } from 'vitest'
import { cursorOf } from './cursor.ts'

const u32 = (value: number) => [value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff]
const png = (width: number, height: number) => {
  const signature = [0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10]
  return btoa(String.fromCharCode(...signature, ...u32(13), 0x49, 0x48, 0x44, 0x52, ...u32(width), ...u32(height)))
}
const pointer = (width: number, height: number, data: string) =>
  ({ shape: 'image', x: 0, y: 0, width, height, data }) as const

afterEach(() => vi.unstubAllGlobals())

/** A browser's decoder, which is not to be asked for anything large. */
function decoder() {
  const decode = vi.fn<(blob: Blob) => Promise<string>>().mockResolvedValue('picture')
  vi.stubGlobal('createImageBitmap', decode)
  return decode
}

test('a pointer is decoded when its file has the size that was announced', async () => {
  const decode = decoder()
  expect(await cursorOf(pointer(32, 24, png(32, 24)))).toBe('picture')
  expect(decode.mock.calls[0]?.[0].type).toBe('image/png')
})

test.each([
  ['a file that is larger than announced', pointer(32, 24, png(60_000, 60_000))],
  ['one larger than pointers are', pointer(4_000, 10, png(4_000, 10))],
  ['another kind of file', pointer(1, 1, btoa('GIF89a'))],
  ['what is no base64', pointer(1, 1, '*')],
  ['nothing', pointer(1, 1, '')],
])('%s is none, and never reaches the decoder', async (_, broken) => {
  const decode = decoder()
  expect(await cursorOf(broken)).toBeUndefined()
  expect(decode).not.toHaveBeenCalled()
})
