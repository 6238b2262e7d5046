/** Raw DEFLATE (RFC 1951), by what browsers have. `undefined`: it is none, or there is more in it than `longest` bytes. */
export async function inflate(bytes: Uint8Array<ArrayBuffer>, longest: number) {
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw')).getReader()
  const parts: Uint8Array[] = []
  let length = 0
  try {
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      length += piece.value.length
      if (length > longest) {
        await reader.cancel()
        return
      }
      parts.push(piece.value)
    }
  } catch {
    return
  }
  const whole = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
