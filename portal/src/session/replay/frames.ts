/** A recording, as the server gives it out: pieces of time, each of which begins with the whole screen. */

/**
 * Of a terminal: output, input, a new size (`120x40`), a mark, and a key frame, which restores the whole screen. Of a
 * desktop: tiles in base64, a key frame of all tiles, a new size in pixels, and that a clipboard was used.
 */
const kinds = ['o', 'i', 'r', 'm', 'k', 't', 'T', 'g', 'b'] as const
export type FrameKind = (typeof kinds)[number]
export type Frame = { atMs: number; kind: FrameKind; text: string }
export type ScreenSize = { columns: number; rows: number }

/** What is no frame is left out, since the rest can still be shown. */
export function framesOf(lines: unknown[]): Frame[] {
  return lines.flatMap((line) => {
    const [atMs, kind, text] = Array.isArray(line) ? (line as unknown[]) : []
    const known = kinds.find((one) => one === kind)
    return typeof atMs === 'number' && known && typeof text === 'string' ? [{ atMs, kind: known, text }] : []
  })
}

export function parseSize(text: string): ScreenSize | undefined {
  const [, columns, rows] = /^(\d{1,4})x(\d{1,4})$/.exec(text) ?? []
  const size = { columns: Number(columns), rows: Number(rows) }
  return size.columns > 0 && size.rows > 0 ? size : undefined
}

/** What is still to be drawn to see the last of these: nothing that a later key frame draws over. */
export function lasting(frames: readonly Frame[]) {
  const key = frames.findLastIndex(({ kind }) => kind === 'T')
  if (key === -1) return frames
  const size = frames.slice(0, key).findLast(({ kind }) => kind === 'g')
  return [...(size ? [size] : []), ...frames.slice(key)]
}

/** Frames that are here and not yet shown, and until when there are no others. */
export class Track {
  #frames: Frame[] = []
  #loadedMs = 0

  get loadedMs() {
    return this.#loadedMs
  }

  /** Begins anew: the first frame is a key frame of this moment or of one before. */
  start(frames: Frame[], untilMs: number) {
    this.#frames = frames
    this.#loadedMs = untilMs
  }

  /** The next piece of time; its key frame says what is known already. Whether anything happens in it. */
  append(frames: Frame[], untilMs: number) {
    const fresh = frames.filter(({ kind, atMs }) => kind !== 'k' && atMs >= this.#loadedMs)
    this.#frames.push(...fresh)
    this.#loadedMs = untilMs
    return fresh.length > 0
  }

  /** What has happened by now, in order; it is given out once. */
  take(nowMs: number) {
    const at = this.#frames.findIndex(({ atMs }) => atMs > nowMs)
    return this.#frames.splice(0, at === -1 ? this.#frames.length : at)
  }

  /** When something happens next, if that is known. */
  get nextMs() {
    return this.#frames[0]?.atMs
  }
}

/** A pause that nobody wants to see is over this long after it began. */
export const shownPauseMs = 1_500

/** Where the clock stands after some time: with `skipsIdle`, past what nothing happens in. */
export function advance({
  positionMs,
  elapsedMs,
  speed,
  skipsIdle,
  nextMs,
}: {
  positionMs: number
  elapsedMs: number
  speed: number
  skipsIdle: boolean
  nextMs: number | undefined
}) {
  const reachedMs = positionMs + elapsedMs * speed
  if (!skipsIdle || nextMs === undefined || nextMs - positionMs <= shownPauseMs * speed) return reachedMs
  return Math.max(reachedMs, nextMs - shownPauseMs * speed)
}

/** `1:02:03` */
export function clock(ms: number) {
  const sec = Math.floor(ms / 1_000)
  const parts = [Math.floor(sec / 3_600), Math.floor(sec / 60) % 60, sec % 60]
  const two = (value: number) => String(value).padStart(2, '0')
  return parts[0] ? `${parts[0]}:${two(parts[1] ?? 0)}:${two(parts[2] ?? 0)}` : `${parts[1]}:${two(parts[2] ?? 0)}`
}
