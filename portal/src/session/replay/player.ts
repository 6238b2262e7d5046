import { createStore } from '../../app/store.ts'
import { advance, type Frame, Track } from './frames.ts'
import type { Stage } from './stage.ts'

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

/** Of an idle time, ever more is asked for at once, so that a night is a few requests. */
const longestPieceMs = 64 * 60_000

/** The clock of a recording: what is loaded when, and shown when. */
export class Player {
  readonly #stage: Stage
  readonly #playing
  readonly #track = new Track()
  readonly #load: Load
  #piece: number
  #loading: AbortController | undefined
  #timer: number | undefined
  #lastMs = 0

  constructor(stage: Stage, durationMs: number, load: Load) {
    this.#stage = stage
    this.#piece = stage.pieceMs
    this.#load = load
    this.#playing = createStore<Playing>({
      positionMs: 0,
      durationMs,
      isPlaying: false,
      isLoading: false,
      speed: 1,
      skipsIdle: true,
    })
  }

  readonly use = () => this.#playing.use()

  async seek(toMs: number) {
    const positionMs = Math.max(0, Math.min(toMs, this.#playing.get().durationMs))
    this.#set({ positionMs })
    this.#piece = this.#stage.pieceMs
    await this.#read(positionMs, (frames, untilMs) => {
      this.#track.start(frames, untilMs)
      this.#stage.reset()
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
    this.#stage.dispose()
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
    if (!this.#loading && loadedMs < durationMs && loadedMs - reachedMs < (this.#stage.pieceMs / 3) * speed)
      this.#more()
  }

  #more() {
    void this.#read(this.#track.loadedMs, (frames, untilMs) => {
      const isIdle = !this.#track.append(frames, untilMs)
      this.#piece = isIdle ? Math.min(this.#piece * 2, longestPieceMs) : this.#stage.pieceMs
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
    const due = this.#track.take(this.#playing.get().positionMs)
    if (due.length > 0) this.#stage.show(due)
  }

  #set(change: Partial<Playing>) {
    this.#playing.set({ ...this.#playing.get(), ...change })
  }
}
