import { armUrl } from '../../api/arm.ts'
import { get } from '../../api/client.ts'
import { ApiError } from '../../api/errors.ts'
import type { Recording } from '../../api/queries/bastion.ts'
import { parseFrames } from './frames.ts'

const path = (machine: string, recording = '') =>
  `${machine}/providers/Sekisho.Bastion/recordings${recording && `/${encodeURIComponent(recording)}`}`

/** A recording, with the places where a text was on the screen. */
export async function findRecording(machine: string, id: string, search = '', signal?: AbortSignal) {
  const url = armUrl(path(machine), 'sekisho.bastion', search ? { search } : {})
  const { value } = await get<{ value: Recording[] }>(url, signal)
  const found = value.find((recording) => recording.id === id)
  if (!found && !search) throw new ApiError(404, { error: { code: 'ResourceNotFound', message: '' } })
  return found
}

export async function getFrames(
  { machine, recording }: { machine: string; recording: string },
  fromMs: number,
  toMs: number,
  signal: AbortSignal,
) {
  const query = { from: String(Math.floor(fromMs)), to: String(Math.ceil(toMs)) }
  const url = armUrl(`${path(machine, recording)}/frames`, 'sekisho.bastion', query)
  const response = await fetch(url, { credentials: 'same-origin', signal })
  if (!response.ok) throw new ApiError(response.status, await response.json().catch(() => undefined), response.headers)
  return parseFrames(await response.text())
}

export const exportUrl = ({ machine, recording }: { machine: string; recording: string }, as: 'cast' | 'text') =>
  armUrl(`${path(machine, recording)}/${as}`, 'sekisho.bastion')
