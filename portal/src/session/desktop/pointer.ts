import type { Size } from './protocol.ts'

/** How large a picture is shown. */
export type Scaling =
  /** The machine's screen takes the size of the window. */
  | 'match'
  /** The whole picture is seen, however large the window is. */
  | 'fit'
  /** A pixel is a pixel. */
  | 'actual'

/** How many pixels of the window a pixel of the picture has. */
export function scaleOf(scaling: Scaling, picture: Size, room: Size) {
  if (scaling === 'actual' || room.width <= 0 || room.height <= 0) return 1
  const whole = Math.min(room.width / picture.width, room.height / picture.height)
  return scaling === 'match' ? Math.min(1, whole) : whole
}

type Box = { left: number; top: number; width: number; height: number }

/** Which pixel of the picture lies there; beside it, the nearest. */
export function pixelAt({ width, height }: Size, box: Box, { clientX, clientY }: { clientX: number; clientY: number }) {
  const along = (at: number, length: number, pixels: number) =>
    length > 0 ? Math.min(pixels - 1, Math.max(0, Math.floor((at / length) * pixels))) : 0
  return { x: along(clientX - box.left, box.width, width), y: along(clientY - box.top, box.height, height) }
}

/** The buttons that the wire knows: five. */
export const buttonsOf = (buttons: number) => buttons & 0x1f

const pixelsPerNotch = 100
const linesPerNotch = 3
const notches = [1 / pixelsPerNotch, 1 / linesPerNotch, 1]

/** Adds up what a wheel or a touch pad turns, until there is a whole notch. */
export class Wheel {
  #dx = 0
  #dy = 0

  turn({ deltaX, deltaY, deltaMode }: Pick<WheelEvent, 'deltaX' | 'deltaY' | 'deltaMode'>) {
    const perUnit = notches[deltaMode] ?? 0
    // Turning back begins anew.
    this.#dx = (deltaX * this.#dx < 0 ? 0 : this.#dx) + deltaX * perUnit
    this.#dy = (deltaY * this.#dy < 0 ? 0 : this.#dy) + deltaY * perUnit
    const dx = Math.trunc(this.#dx)
    const dy = Math.trunc(this.#dy)
    this.#dx -= dx
    this.#dy -= dy
    return dx === 0 && dy === 0 ? undefined : { dx, dy }
  }
}
