import type { Recording } from '../../api/queries/bastion.ts'
import { isDesktop } from '../../domain/bastion.ts'
import type { Frame, ScreenSize } from './frames.ts'

/** What a recording is played on: it answers nothing and takes nothing. */
export type Stage = {
  mount: (parent: HTMLElement) => Promise<void>
  /** Whatever was shown is of no interest any more: what comes begins with a key frame. */
  reset: () => void
  /** In order, and all of them of now or before. */
  show: (frames: readonly Frame[]) => void
  dispose: () => void
  /** So much is asked for at once, in milliseconds. */
  readonly pieceMs: number
}

export type MakeStage = (size: ScreenSize, name: string) => Stage

/** A terminal needs nothing of a desktop, nor the other way round. */
export const stageFor = async ({ protocol }: Recording): Promise<MakeStage> =>
  isDesktop(protocol)
    ? (await import('./desktopStage.ts')).desktopStage
    : (await import('./terminalStage.ts')).terminalStage
