/** A recording, as the server gives it out: pieces of time, each of which begins with the whole screen. */

/** Output, input, a new size (`120x40`), a mark, and a key frame, which restores the whole screen. */
export type FrameKind = 'o' | 'i' | 'r' | 'm' | 'k'
export type Frame = { atMs: number; kind: FrameKind; text: string }

const kinds = new Set<unknown>(['o', 'i', 'r', 'm', 'k'])

/** What is no frame is left out, since the rest can still be shown. */
export function framesOf(lines: unknown[]): Frame[] {
  return lines.flatMap((line) => {
    const [atMs, kind, text] = Array.isArray(line) ? (line as unknown[]) : []
    if (typeof atMs !== 'number' || !kinds.has(kind) || typeof text !== 'string') return []
    return [{ atMs, kind: kind as FrameKind, text }]
  })
}

export function parseSize(text: string) {
  const [, columns, rows] = /^(\d{1,4})x(\d{1,4})$/.exec(text) ?? []
  const size = { columns: Number(columns), rows: Number(rows) }
  return size.columns > 0 && size.rows > 0 ? size : undefined
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

  /** The next piece of time; its key frame says what is known already. */
  append(frames: Frame[], untilMs: number) {
    const from = this.#loadedMs
    this.#frames.push(...frames.filter(({ kind, atMs }) => kind !== 'k' && atMs >= from))
    this.#loadedMs = untilMs
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
