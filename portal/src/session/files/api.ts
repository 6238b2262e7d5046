import { call, checkSession, get } from '../../api/client.ts'
import { ApiError } from '../../api/errors.ts'

export type FileEntry = {
  name: string
  kind: 'file' | 'directory' | 'link' | 'other'
  bytes: number
  /** RFC 3339. */
  modified: string
  /** As `ls` writes it. */
  mode: string
}
/** `truncated`: there is more in it than is told. */
export type Folder = { path: string; entries: FileEntry[]; truncated: boolean }
/** Whose files. */
export type FilesAt = { place: string; sessionId: string }
export type Change = { op: 'mkdir' | 'remove'; path: string } | { op: 'rename'; path: string; to: string }
export type Stored = { bytes: number; sha256?: string }

const base = ({ place, sessionId }: FilesAt) =>
  `/bastions/${encodeURIComponent(place)}/api/sessions/${encodeURIComponent(sessionId)}`

const content = (at: FilesAt, query: Record<string, string>) => `${base(at)}/content?${new URLSearchParams(query)}`

export const listFolder = (at: FilesAt, path: string | undefined, signal?: AbortSignal) =>
  get<Folder>(`${base(at)}/files${path === undefined ? '' : `?${new URLSearchParams({ path })}`}`, signal)

export const changeFiles = (at: FilesAt, change: Change) => call<void>('POST', `${base(at)}/files`, { body: change })

/** Bytes in place of JSON; otherwise as `client.ts` does it. */
async function send(url: string, init: RequestInit) {
  let response: Response
  try {
    response = await fetch(url, { credentials: 'same-origin', ...init })
  } catch (cause) {
    if (init.signal?.aborted) throw cause
    throw new ApiError(0, undefined)
  }
  if (response.ok) return response
  if (response.status === 401) void checkSession().catch(() => undefined)
  throw new ApiError(response.status, await response.json().catch(() => undefined), response.headers)
}

/** How much of a file is there already. */
export async function storedBytes(at: FilesAt, path: string, signal: AbortSignal) {
  const response = await send(content(at, { path }), { method: 'HEAD', signal })
  return Number(response.headers.get('content-length') ?? 0)
}

export type Piece = { path: string; offset: number; total: number; bytes: Blob }

export async function putPiece(at: FilesAt, { path, offset, total, bytes }: Piece, signal: AbortSignal) {
  const url = content(at, { path, offset: String(offset), total: String(total) })
  const headers = { 'content-type': 'application/octet-stream' }
  return (await (await send(url, { method: 'PUT', headers, body: bytes, signal })).json()) as Stored
}

/** A file from a byte on; `etag` is of the file whose beginning is here already. */
export function openContent(at: FilesAt, path: string, from: { byte: number; etag?: string }, signal: AbortSignal) {
  const headers: Record<string, string> = from.byte > 0 ? { range: `bytes=${from.byte}-` } : {}
  if (from.byte > 0 && from.etag) headers['if-range'] = from.etag
  return send(content(at, { path }), { headers, signal })
}
