/**
 * The picture of a desktop, from the lossless tiles of a frame. A tile is 64×64 pixels, and cut at the right and the
 * lower edge of the picture. Records stand one after the other: where, a code, and what the code asks for.
 */
import type { Size } from './protocol.ts'

export const tileSide = 64

/** Four bytes a pixel, RGBA, rows from the top. */
export type Pixels = Size & { data: Uint8ClampedArray<ArrayBuffer> }
export type Rect = Size & { x: number; y: number }

const code = { solid: 0, palette: 1, raw: 2, copy: 3 } as const
/** Where, and the code. */
const recordHeader = 5
const opaque = 255

/** How often a side has a tile. */
const tilesAlong = (length: number) => Math.ceil(length / tileSide)
const tilesIn = ({ width, height }: Size) => tilesAlong(width) * tilesAlong(height)

/** So long can a block be that says something about every tile of a picture, in bytes. */
export const longestBlock = (size: Size) => size.width * size.height * 3 + tilesIn(size) * (recordHeader + 1 + 256 * 3)

/** The tile at this place, or nothing if there is none. */
export function tileAt(x: number, y: number, { width, height }: Size): Rect | undefined {
  if (x % tileSide !== 0 || y % tileSide !== 0 || x >= width || y >= height) return
  return { x, y, width: Math.min(tileSide, width - x), height: Math.min(tileSide, height - y) }
}

type TileRecord =
  | { rect: Rect; code: typeof code.solid; at: number }
  | { rect: Rect; code: typeof code.palette; at: number; indexes: number; colours: number }
  | { rect: Rect; code: typeof code.raw; at: number }
  | { rect: Rect; code: typeof code.copy; sx: number; sy: number }

/** What a block says, once all of it is sure to fit; nothing, if one byte does not. */
function recordsOf(block: Uint8Array, size: Size): TileRecord[] | undefined {
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength)
  const records: TileRecord[] = []
  const said = new Set<number>()
  let at = 0
  while (at < block.length) {
    if (at + recordHeader > block.length) return
    const rect = tileAt(view.getUint16(at), view.getUint16(at + 2), size)
    // The place of a tile, as one number. A frame says each once.
    const place = view.getUint32(at)
    if (!rect || said.has(place)) return
    said.add(place)
    const which = view.getUint8(at + 4)
    const area = rect.width * rect.height
    at += recordHeader
    const start = at
    if (which === code.solid) {
      at += 3
      records.push({ rect, code: which, at: start })
    } else if (which === code.palette) {
      if (at >= block.length) return
      const colours = view.getUint8(at) + 1
      const indexes = at + 1 + colours * 3
      at = indexes + area
      records.push({ rect, code: which, at: start + 1, indexes, colours })
    } else if (which === code.raw) {
      at += area * 3
      records.push({ rect, code: which, at: start })
    } else if (which === code.copy) {
      at += 4
      if (at > block.length) return
      const sx = view.getUint16(start)
      const sy = view.getUint16(start + 2)
      if (sx + rect.width > size.width || sy + rect.height > size.height) return
      records.push({ rect, code: which, sx, sy })
    } else return
    if (at > block.length) return
  }
  const isMeant = records.every(
    (record) =>
      record.code !== code.palette ||
      block
        .subarray(record.indexes, record.indexes + record.rect.width * record.rect.height)
        .every((index) => index < record.colours),
  )
  return isMeant ? records : undefined
}

/** The pixels of a part, for whoever is about to overwrite them. */
function cut({ data, width }: Pixels, { x, y, width: across, height }: Rect) {
  const part = new Uint8ClampedArray(across * height * 4)
  for (let row = 0; row < height; row += 1) {
    const from = ((y + row) * width + x) * 4
    part.set(data.subarray(from, from + across * 4), row * across * 4)
  }
  return part
}

/** Lays pixels over a part. */
export function paste({ data, width }: Pixels, { x, y, width: across, height }: Rect, part: Uint8ClampedArray) {
  for (let row = 0; row < height; row += 1) {
    data.set(part.subarray(row * across * 4, (row + 1) * across * 4), ((y + row) * width + x) * 4)
  }
}

/** `colourAt`: where the red of the nth pixel stands in the block; green and blue follow. */
function fill({ data, width }: Pixels, rect: Rect, block: Uint8Array, colourAt: (nth: number) => number) {
  let nth = 0
  for (let row = 0; row < rect.height; row += 1) {
    let to = ((rect.y + row) * width + rect.x) * 4
    for (let column = 0; column < rect.width; column += 1) {
      const from = colourAt(nth)
      data[to] = block[from] ?? 0
      data[to + 1] = block[from + 1] ?? 0
      data[to + 2] = block[from + 2] ?? 0
      data[to + 3] = opaque
      nth += 1
      to += 4
    }
  }
}

/**
 * Draws a block, which is no longer compressed, and says what it has drawn over. A block that does not fit the picture
 * draws nothing.
 */
export function drawBlock(block: Uint8Array, pixels: Pixels): Rect[] | undefined {
  const records = recordsOf(block, pixels)
  if (!records) return
  // Copies are of the picture before this frame, and may lie across tiles that the frame changes.
  const copies = records.map(
    (record) => record.code === code.copy && cut(pixels, { ...record.rect, x: record.sx, y: record.sy }),
  )
  records.forEach((record, nth) => {
    const copy = copies[nth]
    if (copy) return paste(pixels, record.rect, copy)
    if (record.code === code.solid) fill(pixels, record.rect, block, () => record.at)
    else if (record.code === code.raw) fill(pixels, record.rect, block, (pixel) => record.at + pixel * 3)
    else if (record.code === code.palette)
      fill(pixels, record.rect, block, (pixel) => record.at + (block[record.indexes + pixel] ?? 0) * 3)
  })
  return records.map(({ rect }) => rect)
}

/** The smallest part in which all of them lie. */
export function around(rects: readonly Rect[]): Rect | undefined {
  if (rects.length === 0) return
  const left = Math.min(...rects.map(({ x }) => x))
  const top = Math.min(...rects.map(({ y }) => y))
  const right = Math.max(...rects.map(({ x, width }) => x + width))
  const bottom = Math.max(...rects.map(({ y, height }) => y + height))
  return { x: left, y: top, width: right - left, height: bottom - top }
}

/** How large a JPEG says that it is: its decoder must not be asked for more than a tile. */
export function jpegSize(bytes: Uint8Array): Size | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < 4 || view.getUint16(0) !== 0xffd8) return
  for (let at = 2; at + 4 <= bytes.length;) {
    const marker = view.getUint16(at)
    // Everything before the picture itself is segments with a length.
    if (marker < 0xffc0 || marker === 0xffda || marker === 0xffd9 || (marker >= 0xffd0 && marker <= 0xffd7)) return
    const isFrame = marker <= 0xffcf && ![0xffc4, 0xffc8, 0xffcc].includes(marker)
    if (isFrame) {
      if (at + 9 > bytes.length) return
      return { height: view.getUint16(at + 5), width: view.getUint16(at + 7) }
    }
    at += 2 + view.getUint16(at + 2)
  }
}
