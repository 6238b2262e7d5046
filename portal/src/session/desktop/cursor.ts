import { fromBase64 } from './base64.ts'
import { isSize, type PointerShape, type Size } from './protocol.ts'

/** Pixels along a side: what points is small. */
const longestCursor = 384

/** How large a PNG says that it is: it must not be decoded to more than was announced. */
export function pngSize(bytes: Uint8Array): Size | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  // Its signature, the length of the first segment, and that segment's name.
  const isPng = bytes.length >= 24 && view.getUint32(0) === 0x89504e47 && view.getUint32(12) === 0x49484452
  return isPng ? { width: view.getUint32(16), height: view.getUint32(20) } : undefined
}

/** The picture of a pointer; nothing, if it is not what it says. */
export async function cursorOf(pointer: PointerShape & { shape: 'image' }) {
  const { width, height, data } = pointer
  if (!isSize(pointer) || Math.max(width, height) > longestCursor) return
  const bytes = fromBase64(data)
  const says = bytes && pngSize(bytes)
  if (!bytes || says?.width !== width || says.height !== height) return
  try {
    return await createImageBitmap(new Blob([bytes], { type: 'image/png' }))
  } catch {
    return
  }
}
