import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { type LogProof, verdict } from './logProof.ts'

type Vector = {
  leafIdx: number
  treeSize: number
  leafHash: string
  root: string
  proof: string[] | null
  name: string
  wantErr: boolean
}

const hex = (base64: string) => Buffer.from(base64, 'base64').toString('hex')

test('every inclusion vector of transparency-dev has its answer', async () => {
  const file = new URL('../../../crates/audit/tests/vectors/merkle.json', import.meta.url)
  const vectors = (JSON.parse(readFileSync(file, 'utf8')) as { inclusion: Vector[] }).inclusion
  expect(vectors).toHaveLength(98)
  for (const { leafIdx, treeSize, leafHash, root, proof, name, wantErr } of vectors) {
    const checkpoint = `sekisho/t\n${treeSize}\n${root}\n\n`
    const path = (proof ?? []).map(hex)
    const own = { sequence: leafIdx + 1, size: treeSize, leafHash: hex(leafHash), path, checkpoint }
    const found = await verdict(own, { hash: hex(leafHash), operation: '', resourceId: '' })
    expect(found, name).toBe(wantErr ? 'wrong' : 'pruned')
  }
})

/** The third of seven entries, by the definition of RFC 6962. */
const third: LogProof = {
  sequence: 3,
  leaf: '{"sequence":3,"operation":"Microsoft.Test/x3/write","resourceId":"/x/3"}',
  leafHash: 'e502a80cf00a900add9a04a75c1eb9e3c4578a65c033b66e8a91d5fda53b7350',
  size: 7,
  path: [
    'b28bb46b6d0c4ef782f3ace117351ebbbdd98e7d217a8efa0734c921c0c527fd',
    '6c8f7c8b7d1f1a6f28bc74403c4e0a3e63dda18640d5b8cf7c13283ddae42c40',
    '8865a4015935b4bc40cdd19af874cf638304929bd63b07d022b20fa978a715d7',
  ],
  checkpoint: 'sekisho/t\n7\nobnR8dNJ/leCpHzjao1hD+w0sLDqFNlGJX5U1eIdWHA=\n\n',
}
const shown = { hash: third.leafHash, operation: 'Microsoft.Test/x3/write', resourceId: '/x/3' }

test('an entry is proved only as what it is', async () => {
  expect(await verdict(third, shown)).toBe('proved')
  expect(await verdict({ ...third, leaf: undefined }, shown)).toBe('pruned')
  const leaf = third.leaf ?? ''
  const touched: [Partial<LogProof>, Partial<typeof shown>][] = [
    [{ leaf: leaf.replace('x3', 'x4') }, {}],
    [{ sequence: 4 }, {}],
    [{ size: 8 }, {}],
    [{ path: third.path.slice(1) }, {}],
    [{ path: third.path.toReversed() }, {}],
    [{ path: ['zz'] }, {}],
    [{ checkpoint: third.checkpoint.replace('obn', 'obm') }, {}],
    [{ checkpoint: 'nonsense' }, {}],
    [{}, { hash: '00' }],
    [{}, { operation: 'Microsoft.Test/x3/delete' }],
    [{}, { resourceId: '/x/4' }],
  ]
  for (const [proof, event] of touched) {
    expect(await verdict({ ...third, ...proof }, { ...shown, ...event })).toBe('wrong')
  }
})
