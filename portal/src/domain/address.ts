/** IPv4 and IPv6 addresses and prefixes, as far as a rule editor needs them: is it valid, and is it canonical. */

function ipv4(text: string): number[] | undefined {
  const parts = text.split('.')
  if (parts.length !== 4) return
  const octets = parts.map((part) => (/^(0|[1-9]\d{0,2})$/.test(part) ? Number(part) : Number.NaN))
  return octets.every((octet) => octet <= 255) ? octets : undefined
}

function ipv6(text: string): number[] | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return
  const groups = (half: string | undefined) => (half ? half.split(':') : [])
  const [head, tail] = [groups(halves[0]), groups(halves[1])]
  const last = (halves.length === 2 ? tail : head).at(-1)
  if (last?.includes('.')) {
    const v4 = ipv4(last)
    if (!v4) return
    const [a = 0, b = 0, c = 0, d = 0] = v4
    ;(halves.length === 2 ? tail : head).splice(-1, 1, ((a << 8) | b).toString(16), ((c << 8) | d).toString(16))
  }
  const missing = 8 - head.length - tail.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return
  const all = [...head, ...Array.from({ length: missing }, () => '0'), ...tail]
  if (!all.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return
  return all.flatMap((group) => {
    const value = Number.parseInt(group, 16)
    return [value >> 8, value & 0xff]
  })
}

export type PrefixProblem = 'syntax' | 'length' | 'hostBits'

/** `undefined` when `text` is an address or a prefix with no bits set behind its length. */
export function prefixProblem(text: string): PrefixProblem | undefined {
  const [address = '', length, ...rest] = text.split('/')
  const octets = ipv4(address) ?? ipv6(address)
  if (!octets || rest.length > 0) return 'syntax'
  if (length === undefined) return
  if (!/^(0|[1-9]\d{0,2})$/.test(length) || Number(length) > octets.length * 8) return 'length'
  const bits = Number(length)
  const dirty = octets.some((octet, index) => (octet & (0xff >> Math.min(8, Math.max(0, bits - index * 8)))) !== 0)
  return dirty ? 'hostBits' : undefined
}
