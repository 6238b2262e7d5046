import { savedName } from './files/paths.ts'

/** Hands a file over to the browser. It never becomes a document of ours, whatever is in it. */
export function saveBlob(blob: Blob, name: string) {
  const url = URL.createObjectURL(blob.slice(0, blob.size, 'application/octet-stream'))
  const link = document.createElement('a')
  link.href = url
  link.download = savedName(name)
  link.click()
  // Not before the browser has taken it.
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
}
