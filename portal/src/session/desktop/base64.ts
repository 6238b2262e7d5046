/** `undefined`: it is none. */
export function fromBase64(text: string) {
  let binary: string
  try {
    binary = atob(text)
  } catch {
    return
  }
  const bytes = new Uint8Array(binary.length)
  for (let at = 0; at < binary.length; at += 1) bytes[at] = binary.charCodeAt(at)
  return bytes
}
