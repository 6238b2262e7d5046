/**
 * The proof that an entry is in the log (RFC 6962), checked where it is shown: hash the leaf, then go up the tree with
 * each hash of the path, and the root of the checkpoint comes out.
 */

export type LogProof = {
  sequence: number
  leaf?: string
  leafHash: string
  size: number
  path: string[]
  checkpoint: string
}
/** What a page shows of an entry. */
type Shown = { hash: string; operation: string; resourceId: string }
export type Verdict = 'proved' | 'pruned' | 'wrong'

type Bytes = Uint8Array<ArrayBuffer>

function fromHex(text: string): Bytes {
  if (!/^([0-9a-f]{2})*$/.test(text)) throw new TypeError('no hexadecimal digits')
  return Uint8Array.from(text.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16))
}

const fromBase64 = (text: string): Bytes => Uint8Array.from(atob(text), (char) => char.codePointAt(0) ?? 0)

const same = (a: Bytes, b: Bytes) => a.length === b.length && a.every((byte, index) => byte === b[index])

async function sha256(...parts: Bytes[]): Promise<Bytes> {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return new Uint8Array(await crypto.subtle.digest('SHA-256', all))
}

/** The size and the root that a checkpoint names (c2sp.org/tlog-checkpoint). */
export function checkpointOf(note: string): { size: number; root: Bytes } | undefined {
  const [origin, size, root] = note.split('\n')
  if (!origin || !/^(0|[1-9]\d*)$/.test(size ?? '') || !root) return undefined
  try {
    return { size: Number(size), root: fromBase64(root) }
  } catch {
    return undefined
  }
}

/** The root that a path leads to from a leaf (RFC 9162 §2.1.3.2); nothing when the path does not fit the tree. */
async function rootOf(leaf: Bytes, index: number, size: number, path: Bytes[]): Promise<Bytes | undefined> {
  if (index < 0 || index >= size) return undefined
  const [one, half] = [Uint8Array.of(1), (value: number) => Math.floor(value / 2)]
  let [own, last, hash] = [index, size - 1, leaf]
  for (const sibling of path) {
    if (last === 0) return undefined
    if (own % 2 === 1 || own === last) {
      hash = await sha256(one, sibling, hash)
      while (own % 2 === 0 && own !== 0) [own, last] = [half(own), half(last)]
    } else {
      hash = await sha256(one, hash, sibling)
    }
    ;[own, last] = [half(own), half(last)]
  }
  return last === 0 ? hash : undefined
}

/** Whether the entry that is shown is the one that the proof is about, and the proof holds. */
export async function verdict(proof: LogProof, shown: Shown): Promise<Verdict> {
  try {
    const checkpoint = checkpointOf(proof.checkpoint)
    if (!checkpoint || checkpoint.size !== proof.size || proof.leafHash !== shown.hash) return 'wrong'
    const hash = fromHex(proof.leafHash)
    const root = await rootOf(hash, proof.sequence - 1, proof.size, proof.path.map(fromHex))
    if (!root || !same(root, checkpoint.root)) return 'wrong'
    if (proof.leaf === undefined) return 'pruned'
    if (!same(hash, await sha256(Uint8Array.of(0), new TextEncoder().encode(proof.leaf)))) return 'wrong'
    const leaf = JSON.parse(proof.leaf) as Record<string, unknown>
    const fits =
      leaf.sequence === proof.sequence && leaf.operation === shown.operation && leaf.resourceId === shown.resourceId
    return fits ? 'proved' : 'wrong'
  } catch {
    return 'wrong'
  }
}
