import { createStore } from '../../app/store.ts'
import { utf8 } from '../terminal/protocol.ts'
import { Screen } from '../terminal/screen.ts'
import { advance, type Frame, parseSize, Track } from './frames.ts'

export type Playing = {
  positionMs: number
  durationMs: number
  isPlaying: boolean
  isLoading: boolean
  speed: number
  skipsIdle: boolean
  error?: unknown
}
type Load = (fromMs: number, toMs: number, signal: AbortSignal) => Promise<Frame[]>

/** What is asked for at once; of an idle time, ever more, so that a night is a few requests. */
const pieceMs = 60_000
const longestPieceMs = 64 * pieceMs
const aheadMs = 20_000
const noop = () => undefined

/** Shows a recording on a terminal that answers nothing and takes nothing. */
export class Player {
  readonly screen = new Screen({
    onInput: noop,
    onSize: noop,
    onTitle: noop,
    onLink: noop,
    onRiskyPaste: noop,
    onDenied: noop,
    onFind: noop,
    onLeave: noop,
  })
  readonly #playing
  readonly #track = new Track()
  readonly #load: Load
  #piece = pieceMs
  #loading: AbortController | undefined
  #timer: number | undefined
  #lastMs = 0

  constructor(durationMs: number, load: Load) {
    this.#load = load
    this.#playing = createStore<Playing>({
      positionMs: 0,
      durationMs,
      isPlaying: false,
      isLoading: false,
      speed: 1,
      skipsIdle: true,
    })
    this.screen.fits = false
    this.screen.clipboard = { copy: true, paste: false }
    this.screen.mutedUpTo = Number.POSITIVE_INFINITY
  }

  readonly use = () => this.#playing.use()

  async seek(toMs: number) {
    const positionMs = Math.max(0, Math.min(toMs, this.#playing.get().durationMs))
    this.#set({ positionMs })
    this.#piece = pieceMs
    await this.#read(positionMs, (frames, untilMs) => {
      this.#track.start(frames, untilMs)
      this.screen.reset()
      this.#show()
    })
  }

  play() {
    const { positionMs, durationMs } = this.#playing.get()
    if (positionMs >= durationMs) void this.seek(0)
    this.#set({ isPlaying: true })
    this.#lastMs = performance.now()
    this.#timer ??= requestAnimationFrame(this.#tick)
  }

  pause() {
    this.#set({ isPlaying: false })
    if (this.#timer !== undefined) cancelAnimationFrame(this.#timer)
    this.#timer = undefined
  }

  setSpeed = (speed: number) => this.#set({ speed })
  setSkipsIdle = (skipsIdle: boolean) => this.#set({ skipsIdle })

  dispose() {
    this.pause()
    this.#loading?.abort()
    this.screen.dispose()
  }

  readonly #tick = (nowMs: number) => {
    this.#timer = requestAnimationFrame(this.#tick)
    const elapsedMs = Math.max(0, nowMs - this.#lastMs)
    this.#lastMs = nowMs
    const { positionMs, durationMs, speed, skipsIdle, error } = this.#playing.get()
    if (error !== undefined) return this.pause()
    const { loadedMs } = this.#track
    // Of what is not here yet, nobody knows whether something happens in it.
    const nextMs = this.#track.nextMs ?? loadedMs
    const wantedMs = advance({ positionMs, elapsedMs, speed, skipsIdle, nextMs })
    const reachedMs = Math.min(wantedMs, loadedMs, durationMs)
    this.#set({ positionMs: reachedMs })
    this.#show()
    if (reachedMs >= durationMs) return this.pause()
    if (!this.#loading && loadedMs < durationMs && loadedMs - reachedMs < aheadMs * speed) this.#more()
  }

  #more() {
    void this.#read(this.#track.loadedMs, (frames, untilMs) => {
      const isIdle = frames.every(({ kind }) => kind === 'k')
      this.#piece = isIdle ? Math.min(this.#piece * 2, longestPieceMs) : pieceMs
      this.#track.append(frames, untilMs)
    })
  }

  async #read(fromMs: number, use: (frames: Frame[], untilMs: number) => void) {
    this.#loading?.abort()
    const loading = new AbortController()
    this.#loading = loading
    const untilMs = fromMs + this.#piece
    this.#set({ isLoading: true, error: undefined })
    try {
      const frames = await this.#load(fromMs, untilMs, loading.signal)
      if (this.#loading === loading) use(frames, untilMs)
    } catch (error) {
      if (this.#loading === loading) this.#set({ error })
    }
    if (this.#loading !== loading) return
    this.#loading = undefined
    this.#set({ isLoading: false })
  }

  #show() {
    for (const { kind, text } of this.#track.take(this.#playing.get().positionMs)) {
      const size = kind === 'r' ? parseSize(text) : undefined
      if (size) this.screen.resize(size.columns, size.rows)
      if (kind !== 'o' && kind !== 'k') continue
      const bytes = utf8(text)
      this.screen.write(bytes, bytes.length, noop)
    }
  }

  #set(change: Partial<Playing>) {
    this.#playing.set({ ...this.#playing.get(), ...change })
  }
}
