import { inflate } from './inflate.ts'
import { isSize, type JpegTile, type Size, type Tiles } from './protocol.ts'
import { around, drawBlock, jpegSize, longestBlock, paste, type Rect, tileAt, tileSide } from './tiles.ts'

/** Black; so is a picture of which nothing is known yet. */
function blank({ width, height }: Size) {
  const image = new ImageData(width, height)
  for (let alpha = 3; alpha < image.data.length; alpha += 4) image.data[alpha] = 255
  return image
}

const scratch = () => {
  const context = new OffscreenCanvas(tileSide, tileSide).getContext('2d', { willReadFrequently: true })
  if (!context) throw new Error('this browser draws nothing')
  return context
}

/** A canvas that shows a desktop, and the pixels behind it. Everything that is asked of it happens in turn. */
export class Picture {
  readonly canvas = document.createElement('canvas')
  readonly #context = this.canvas.getContext('2d', { alpha: false })
  #image: ImageData | undefined
  #scratch: OffscreenCanvasRenderingContext2D | undefined
  #turn: Promise<unknown> = Promise.resolve()
  #era = 0
  readonly #onSize: (size: Size) => void

  /** `onSize`: it is seen in this size from now on. */
  constructor(onSize: (size: Size) => void) {
    this.#onSize = onSize
  }

  /** The next frame is a whole picture of this size; until it is there, the old one is seen. */
  resize(size: Size) {
    this.#next(() => {
      if (isSize(size)) this.#image = blank(size)
    })
  }

  /** Whether the frame is a sound one, once it can be seen. */
  draw(tiles: Tiles): Promise<boolean> {
    return this.#next(async () => {
      const image = this.#image
      const drawn = image && (await this.#drawn(image, tiles))
      if (!image || !drawn) return false
      this.#show(image, drawn)
      return true
    }, false)
  }

  /** Whatever still waits to be drawn is of no interest any more. */
  forget() {
    this.#era += 1
    this.#image = undefined
  }

  #next<T>(what: () => T | Promise<T>, otherwise?: T): Promise<T> {
    const era = this.#era
    const turn = this.#turn.then(() => (era === this.#era ? what() : (otherwise as T)))
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  async #drawn(image: ImageData, { block, jpegs }: Tiles): Promise<Rect[] | undefined> {
    const known = block.length === 0 ? block : await inflate(block, longestBlock(image))
    const pictures = await Promise.all(jpegs.map((jpeg) => decoded(jpeg, image)))
    const rects = known && pictures.every((one) => one !== undefined) ? drawBlock(known, image) : undefined
    for (const one of pictures) {
      if (!one) continue
      if (rects) {
        this.#scratch ??= scratch()
        this.#scratch.drawImage(one.bitmap, 0, 0)
        paste(image, one.rect, this.#scratch.getImageData(0, 0, one.rect.width, one.rect.height).data)
        rects.push(one.rect)
      }
      one.bitmap.close()
    }
    return rects
  }

  #show(image: ImageData, drawn: Rect[]) {
    const { canvas } = this
    const isNew = canvas.width !== image.width || canvas.height !== image.height
    if (isNew) {
      canvas.width = image.width
      canvas.height = image.height
      this.#onSize({ width: image.width, height: image.height })
    }
    const part = isNew ? { x: 0, y: 0, width: image.width, height: image.height } : around(drawn)
    if (part) this.#context?.putImageData(image, 0, 0, part.x, part.y, part.width, part.height)
  }
}

async function decoded({ x, y, bytes }: JpegTile, size: Size) {
  const rect = tileAt(x, y, size)
  const says = jpegSize(bytes)
  if (!rect || says?.width !== rect.width || says.height !== rect.height) return
  try {
    return { rect, bitmap: await createImageBitmap(new Blob([bytes], { type: 'image/jpeg' })) }
  } catch {
    return
  }
}
