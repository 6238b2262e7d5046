import { armUrl } from '../../api/arm.ts'
import { call } from '../../api/client.ts'
import { getRecording } from '../../api/queries/bastion.ts'
import type { RecordingTarget } from '../../domain/bastion.ts'
import { eventsOf } from './events.ts'
import { type Frame, framesOf } from './frames.ts'

/** A recording, with the places where a text was on the screen: none, when it was nowhere. */
export const findRecording = ({ machine, recording }: RecordingTarget, search: string, signal: AbortSignal) =>
  getRecording({ machine, id: recording }, search, signal)

type Played = { duration: number; closed: boolean; frames?: unknown[]; content?: string }

const play = ({ machine, recording }: RecordingTarget, body: object, signal?: AbortSignal) =>
  call<Played>('POST', armUrl(`${machine}/providers/Sekisho.Bastion/playRecording`, 'sekisho.bastion'), {
    body: { id: recording, ...body },
    signal,
  })

export async function getFrames(
  target: RecordingTarget,
  fromMs: number,
  toMs: number,
  signal: AbortSignal,
): Promise<Frame[]> {
  const { frames = [] } = await play(target, { from: Math.floor(fromMs), to: Math.ceil(toMs) }, signal)
  return framesOf(frames)
}

export type ExportFormat = 'asciicast' | 'text'

export const exportRecording = async (target: RecordingTarget, format: ExportFormat) =>
  (await play(target, { format })).content ?? ''

/** What was done, beside what was on the screen. */
export async function getEvents(target: RecordingTarget, signal: AbortSignal) {
  const { frames = [] } = await play(target, { format: 'events' }, signal)
  return eventsOf(frames)
}
