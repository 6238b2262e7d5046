import { describe, expect, test } from 'vitest'
import { inflate } from './inflate.ts'
import { around, drawBlock, jpegSize, longestBlock, type Pixels, tileAt } from './tiles.ts'

/** Each pixel differs from its neighbours and from where else it may have come from. */
function picture(width: number, height: number): Pixels {
  const data = new Uint8ClampedArray(width * height * 4)
  for (let at = 0; at < width * height; at += 1) data.set([at % 251, at % 241, at % 239, 255], at * 4)
  return { width, height, data }
}
const copyOf = ({ width, height, data }: Pixels): Pixels => ({ width, height, data: data.slice() })

const pixel = ({ width, data }: Pixels, x: number, y: number) => [
  ...data.subarray((y * width + x) * 4, (y * width + x) * 4 + 4),
]
const u16 = (value: number) => [value >> 8, value & 0xff]
const head = (x: number, y: number, code: number) => [...u16(x), ...u16(y), code]
const block = (...parts: number[][]) => Uint8Array.from(parts.flat())
const solid = (x: number, y: number, rgb: number[]) => [...head(x, y, 0), ...rgb]
const copy = (x: number, y: number, sx: number, sy: number) => [...head(x, y, 3), ...u16(sx), ...u16(sy)]

/** 100×70: the second column of tiles is 36 wide, the second row 6 high. */
const made = () => picture(100, 70)

describe('a tile', () => {
  test('of one colour covers its place and nothing beside it', () => {
    const pixels = made()
    const before = copyOf(pixels)
    expect(drawBlock(block(solid(0, 0, [1, 2, 3])), pixels)).toEqual([{ x: 0, y: 0, width: 64, height: 64 }])
    expect(pixel(pixels, 0, 0)).toEqual([1, 2, 3, 255])
    expect(pixel(pixels, 63, 63)).toEqual([1, 2, 3, 255])
    expect(pixel(pixels, 64, 63)).toEqual(pixel(before, 64, 63))
    expect(pixel(pixels, 63, 64)).toEqual(pixel(before, 63, 64))
  })

  test('of few colours is cut at the edges, rows from the top', () => {
    const pixels = made()
    const indexes = Array.from({ length: 36 * 6 }, (_, at) => at % 2)
    const drawn = drawBlock(block(head(64, 64, 1), [1], [10, 20, 30], [40, 50, 60], indexes), pixels)
    expect(drawn).toEqual([{ x: 64, y: 64, width: 36, height: 6 }])
    expect(pixel(pixels, 64, 64)).toEqual([10, 20, 30, 255])
    expect(pixel(pixels, 99, 69)).toEqual([40, 50, 60, 255])
  })

  test('of 256 colours is one of few colours', () => {
    const pixels = picture(64, 64)
    const colours = Array.from({ length: 256 }, (_, at) => [at, 255 - at, 7]).flat()
    const indexes = Array.from({ length: 64 * 64 }, (_, at) => at % 256)
    expect(drawBlock(block(head(0, 0, 1), [255], colours, indexes), pixels)).toBeDefined()
    expect(pixel(pixels, 5, 0)).toEqual([5, 250, 7, 255])
    expect(pixel(pixels, 63, 63)).toEqual([255, 0, 7, 255])
  })

  test('of any colours has three bytes for each pixel', () => {
    const pixels = made()
    const raw = Array.from({ length: 36 * 6 }, (_, at) => [at % 256, 1, 2]).flat()
    expect(drawBlock(block(head(64, 64, 2), raw), pixels)).toHaveLength(1)
    expect(pixel(pixels, 64, 65)).toEqual([36, 1, 2, 255])
  })

  test('is a copy of the picture before the frame, whatever else the frame changes', () => {
    const pixels = picture(128, 128)
    const before = copyOf(pixels)
    // One row up, as a window that scrolls: each source lies across tiles that are drawn, too, by earlier records.
    const frame = block(solid(64, 64, [9, 9, 9]), copy(0, 0, 0, 1), copy(64, 0, 64, 1), copy(0, 64, 0, 64))
    expect(drawBlock(frame, pixels)).toHaveLength(4)
    expect(pixel(pixels, 70, 63)).toEqual(pixel(before, 70, 64))
    expect(pixel(pixels, 3, 0)).toEqual(pixel(before, 3, 1))
    expect(pixel(pixels, 3, 63)).toEqual(pixel(before, 3, 64))
    expect(pixel(pixels, 100, 100)).toEqual([9, 9, 9, 255])
  })

  test('of two that change places has what the other one had', () => {
    const pixels = picture(128, 64)
    const before = copyOf(pixels)
    drawBlock(block(copy(0, 0, 64, 0), copy(64, 0, 0, 0)), pixels)
    expect(pixel(pixels, 7, 9)).toEqual(pixel(before, 71, 9))
    expect(pixel(pixels, 71, 9)).toEqual(pixel(before, 7, 9))
  })
})

describe('a block that does not fit draws nothing', () => {
  const sound = solid(0, 0, [1, 2, 3])
  test.each([
    ['half a record', [0, 0, 0]],
    ['a colour that is cut off', [...head(64, 0, 0), 1, 2]],
    ['a place between tiles', solid(1, 0, [1, 2, 3])],
    ['a place beside the picture', solid(128, 0, [1, 2, 3])],
    ['a code that there is not', head(64, 0, 4)],
    ['a palette that is cut off', [...head(64, 64, 1), 3, 1, 2, 3]],
    ['a palette without its length', head(64, 64, 1)],
    ['an index beyond the palette', [...head(64, 64, 1), 0, 1, 2, 3, ...Array.from({ length: 36 * 6 }, () => 1)]],
    ['raw pixels that are cut off', [...head(64, 64, 2), ...Array.from({ length: 36 * 6 * 3 - 1 }, () => 1)]],
    ['a copy from beside the picture', copy(0, 64, 37, 65)],
    ['a copy without its source', head(0, 64, 3)],
  ])('%s', (_, broken) => {
    const pixels = made()
    const before = copyOf(pixels)
    expect(drawBlock(block(sound, broken), pixels)).toBeUndefined()
    expect(pixels.data).toEqual(before.data)
  })

  test('a tile that is said twice', () => {
    const pixels = made()
    const before = copyOf(pixels)
    expect(drawBlock(block(sound, solid(64, 0, [1, 2, 3]), copy(0, 0, 0, 1)), pixels)).toBeUndefined()
    expect(pixels.data).toEqual(before.data)
  })
})

test('the places of tiles are those of the picture, and no others', () => {
  expect(tileAt(64, 64, { width: 100, height: 70 })).toEqual({ x: 64, y: 64, width: 36, height: 6 })
  expect(tileAt(64, 64, { width: 64, height: 70 })).toBeUndefined()
})

test('what changed is around all of it', () => {
  expect(around([])).toBeUndefined()
  expect(
    around([
      { x: 64, y: 0, width: 36, height: 64 },
      { x: 0, y: 64, width: 64, height: 6 },
    ]),
  ).toEqual({ x: 0, y: 0, width: 100, height: 70 })
})

describe('what is compressed', () => {
  const deflated = async (bytes: Uint8Array<ArrayBuffer>) => {
    const packed = new Blob([bytes]).stream().pipeThrough(new CompressionStream('deflate-raw'))
    return new Uint8Array(await new Response(packed).arrayBuffer())
  }

  test('comes out as it went in', async () => {
    const bytes = Uint8Array.from({ length: 100_000 }, (_, at) => at % 7)
    expect(await inflate(await deflated(bytes), 100_000)).toEqual(bytes)
  })

  test('is not unpacked any further when there is more in it than a picture can need', async () => {
    const bomb = await deflated(new Uint8Array(50_000_000))
    expect(bomb.length).toBeLessThan(100_000)
    expect(await inflate(bomb, longestBlock({ width: 100, height: 70 }))).toBeUndefined()
  })

  test.each([
    ['is nothing', Uint8Array.of()],
    ['is no DEFLATE', Uint8Array.of(0xff, 0xff, 0xff)],
    ['is cut off', Uint8Array.of(0x4b, 0x4c)],
  ])('and %s is refused', async (_, bytes) => {
    expect(await inflate(bytes, 100)).toBeUndefined()
  })
})

describe('a JPEG', () => {
  const start = [0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2]
  const frame = (marker: number, height: number, width: number) => [
    0xff,
    marker,
    0,
    8,
    8,
    ...u16(height),
    ...u16(width),
  ]

  test.each([0xc0, 0xc1, 0xc2])('says how large it is, in segment %i', (marker) => {
    expect(jpegSize(block(start, frame(marker, 6, 36)))).toEqual({ width: 36, height: 6 })
  })

  test.each([
    ['another kind of file', [0x89, 0x50, 0x4e, 0x47]],
    ['a picture without a size', [...start, 0xff, 0xda, 0, 4]],
    ['a table that looks like a size', [...start, ...frame(0xc4, 6, 36)]],
    ['a size that is cut off', [...start, 0xff, 0xc0, 0, 8, 8, 0]],
    ['a segment that ends before it begins', [0xff, 0xd8, 0xff, 0xe0, 0, 0, 0, 0]],
    ['nothing', []],
  ])('does not: %s', (_, bytes) => {
    expect(jpegSize(Uint8Array.from(bytes))).toBeUndefined()
  })
})
