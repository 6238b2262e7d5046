import { createStore } from '../../app/store.ts'
import type { FileEntry, FilesAt, Stored } from './api.ts'
import { saveBlob } from '../saveBlob.ts'
import { join } from './paths.ts'
import { download, nothing, type Progress, upload } from './transfer.ts'

type State =
  | { is: 'waiting' | 'running' | 'stopped' | 'tooLarge' }
  | { is: 'failed'; error: unknown }
  | { is: 'done'; stored?: Stored }
export type Transfer = {
  id: number
  direction: 'up' | 'down'
  name: string
  path: string
  done: number
  total?: number
  state: State
}
type Work = (from: number, onProgress: Progress, signal: AbortSignal) => Promise<Stored | undefined>

const transfers = createStore<readonly Transfer[]>([])
const works = new Map<number, { work: Work; stop?: AbortController }>()
let lastId = 0
/** One after the other: together they would be no faster. */
let queue = Promise.resolve()

export const useTransfers = transfers.use

const change = (id: number, what: Partial<Transfer>) =>
  transfers.set(transfers.get().map((transfer) => (transfer.id === id ? { ...transfer, ...what } : transfer)))

const find = (id: number) => transfers.get().find((transfer) => transfer.id === id)

async function run(id: number) {
  const item = works.get(id)
  if (!item || find(id)?.state.is !== 'waiting') return
  const stop = new AbortController()
  item.stop = stop
  change(id, { state: { is: 'running' } })
  try {
    const onProgress: Progress = (done, total) => change(id, { done, total })
    const stored = await item.work(find(id)?.done ?? 0, onProgress, stop.signal)
    change(id, { state: { is: 'done', stored } })
    works.delete(id)
  } catch (error) {
    change(id, { state: stop.signal.aborted ? { is: 'stopped' } : { is: 'failed', error } })
  }
}

export function resume(id: number) {
  change(id, { state: { is: 'waiting' } })
  const running = queue.then(() => run(id))
  queue = running
  return running
}

export function stop(id: number) {
  works.get(id)?.stop?.abort()
  if (find(id)?.state.is === 'waiting') change(id, { state: { is: 'stopped' } })
}

export function forget(id: number) {
  works.delete(id)
  transfers.set(transfers.get().filter((transfer) => transfer.id !== id))
}

function add(transfer: Omit<Transfer, 'id' | 'done' | 'state'>, state: State, work: Work) {
  lastId += 1
  works.set(lastId, { work })
  transfers.set([{ ...transfer, id: lastId, done: 0, state }, ...transfers.get()])
  return state.is === 'waiting' ? resume(lastId) : Promise.resolve()
}

export function sendFile(at: FilesAt, folder: string, file: File, maxBytes: number | null) {
  const path = join(folder, file.name)
  const isTooLarge = maxBytes !== null && file.size > maxBytes
  return add(
    { direction: 'up', name: file.name, path, total: file.size },
    { is: isTooLarge ? 'tooLarge' : 'waiting' },
    (from, onProgress, signal) => upload(at, path, file, from, onProgress, signal),
  )
}

export function fetchFile(at: FilesAt, folder: string, { name, bytes }: FileEntry, maxBytes: number | null) {
  const path = join(folder, name)
  const isTooLarge = maxBytes !== null && bytes > maxBytes
  const received = nothing()
  return add(
    { direction: 'down', name, path, total: bytes },
    { is: isTooLarge ? 'tooLarge' : 'waiting' },
    async (_, onProgress, signal) => {
      saveBlob(await download(at, path, received, onProgress, signal), name)
      return undefined
    },
  )
}
