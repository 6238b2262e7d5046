import { ApiError } from '../../api/errors.ts'
import * as api from './api.ts'

export type Progress = (done: number, total: number | undefined) => void

/** What one request carries: progress is shown by pieces, and a drop costs at most one. */
export const pieceBytes = 4 * 1024 * 1024
/** Of a download, what is kept outside of a Blob, which a browser may put on the disk. */
const looseBytes = 8 * 1024 * 1024
const triesWithoutProgress = 5
const firstWaitMs = 500

const isOfNetwork = (error: unknown) => error instanceof ApiError && (error.status === 0 || error.status >= 500)

function pause(ms: number, signal: AbortSignal) {
  return new Promise<void>((resolve, reject) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      reject(signal.reason as Error)
    })
  })
}

/** Again and again while it gets on; `step` says how far it is, and `undefined` when it is done. */
async function persevere<T>(step: () => Promise<T>, done: () => number, signal: AbortSignal): Promise<T> {
  let failures = 0
  for (;;) {
    const before = done()
    try {
      return await step()
    } catch (error) {
      if (signal.aborted || !isOfNetwork(error)) throw error
      failures = done() > before ? 1 : failures + 1
      if (failures >= triesWithoutProgress) throw error
      await pause(firstWaitMs * 2 ** (failures - 1), signal)
    }
  }
}

/** `from`: what an earlier try of this very upload has sent. */
export async function upload(
  at: api.FilesAt,
  path: string,
  file: Blob,
  from: number,
  onProgress: Progress,
  signal: AbortSignal,
): Promise<api.Stored> {
  let offset = from
  let isSure = from === 0
  const step = async () => {
    if (!isSure) {
      // Of a piece that was on its way, only the server knows.
      const stored = await api.storedBytes(at, path, signal).catch((error: unknown) => {
        if (error instanceof ApiError && error.status === 404) return 0
        throw error
      })
      offset = Math.min(stored, offset + pieceBytes, file.size)
      isSure = true
    }
    onProgress(offset, file.size)
    for (;;) {
      const bytes = file.slice(offset, offset + pieceBytes)
      isSure = false
      const stored = await api.putPiece(at, { path, offset, total: file.size, bytes }, signal)
      isSure = true
      offset += bytes.size
      onProgress(offset, file.size)
      if (offset >= file.size) return stored
    }
  }
  return persevere(step, () => offset, signal)
}

/** What has come of a download, so that it goes on from there. */
export type Received = { parts: Blob[]; loose: Uint8Array<ArrayBuffer>[]; bytes: number; etag?: string }

export const nothing = (): Received => ({ parts: [], loose: [], bytes: 0 })

function settle(received: Received) {
  if (received.loose.length > 0) received.parts = [...received.parts, new Blob(received.loose)]
  received.loose = []
}

export async function download(
  at: api.FilesAt,
  path: string,
  received: Received,
  onProgress: Progress,
  signal: AbortSignal,
): Promise<Blob> {
  const step = async () => {
    const response = await api.openContent(at, path, { byte: received.bytes, etag: received.etag }, signal)
    // Another file, or a server that begins anew.
    if (response.status !== 206) Object.assign(received, nothing())
    received.etag = response.headers.get('etag') ?? undefined
    const length = response.headers.get('content-length')
    const total = length === null ? undefined : received.bytes + Number(length)
    onProgress(received.bytes, total)
    let loose = 0
    const reader = response.body?.getReader()
    try {
      for (;;) {
        const piece = await reader?.read()
        if (!piece || piece.done) break
        received.loose.push(piece.value)
        received.bytes += piece.value.length
        loose += piece.value.length
        if (loose >= looseBytes) {
          settle(received)
          loose = 0
        }
        onProgress(received.bytes, total)
      }
    } catch (error) {
      if (signal.aborted) throw error
      throw new ApiError(0, undefined)
    }
    if (total !== undefined && received.bytes < total) throw new ApiError(0, undefined)
    settle(received)
    return new Blob(received.parts)
  }
  return persevere(step, () => received.bytes, signal)
}
