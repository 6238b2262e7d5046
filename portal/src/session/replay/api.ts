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

/** `file` is the recording as it is kept, which `sekisho recording verify` checks. */
export type ExportFormat = 'asciicast' | 'text' | 'file'

export const exportRecording = async (target: RecordingTarget, format: ExportFormat) =>
  format === 'file' ? getFile(target) : new Blob([(await play(target, { format })).content ?? ''])

type Piece = { size: number; content: string }

async function getFile({ machine, recording }: RecordingTarget): Promise<Blob> {
  const url = armUrl(`${machine}/providers/Sekisho.Bastion/downloadRecording`, 'sekisho.bastion')
  let file = new Blob()
  for (;;) {
    const { size, content } = await call<Piece>('POST', url, { body: { id: recording, offset: file.size } })
    // A session that is still recorded is saved as far as it had come.
    if (!content) return file
    file = new Blob([file, Uint8Array.from(atob(content), (c) => c.charCodeAt(0))])
    if (file.size >= size) return file
  }
}

/** What was done, beside what was on the screen. */
export async function getEvents(target: RecordingTarget, signal: AbortSignal) {
  const { frames = [] } = await play(target, { format: 'events' }, signal)
  return eventsOf(frames)
}
