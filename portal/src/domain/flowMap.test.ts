import { describe, expect, test } from 'vitest'
import type { FlowMap } from '../api/types.ts'
import { canExpand, layout, rowHeight } from './flowMap.ts'

const node = (id: string) => ({ id, kind: 'Subnet' as const, name: id, machines: 1 })
const edge = (source: string, target: string, bytesSent = 1) => ({
  source,
  target,
  allowed: 1,
  denied: 0,
  bytesSent,
  bytesReceived: 0,
})
const map = (edges: FlowMap['edges']): FlowMap => ({
  from: '',
  to: '',
  isAll: true,
  total: { allowed: 0, denied: 0, bytesSent: 0, bytesReceived: 0 },
  nodes: [...new Set(edges.flatMap(({ source, target }) => [source, target]))].map(node),
  edges,
  otherEdges: 0,
})

describe('the layout of a flow map', () => {
  test('puts who begins on the left and who is talked to on the right, also when it is both', () => {
    const drawn = layout(map([edge('a', 'b'), edge('b', 'a'), edge('a', 'a')]))
    expect(drawn.left.map(({ node: { id } }) => id).sort()).toEqual(['a', 'b'])
    expect(drawn.right.map(({ node: { id } }) => id).sort()).toEqual(['a', 'b'])
    expect(drawn.lines).toHaveLength(3)
    expect(drawn.height).toBe(2 * rowHeight)
  })

  test('draws no crossings where none are needed', () => {
    const drawn = layout(map([edge('a', 'z'), edge('b', 'y'), edge('c', 'x')]))
    const crossings = drawn.lines.flatMap((one) =>
      drawn.lines.filter((other) => one.from < other.from && one.to > other.to),
    )
    expect(crossings).toEqual([])
  })

  test('is the same for the same map in another order, and draws more as more', () => {
    const edges = [edge('a', 'z', 10), edge('b', 'z', 1_000_000), edge('c', 'y')]
    const places = (all: FlowMap['edges']) => layout(map(all)).left.map(({ node: { id }, y }) => [id, y])
    expect(places(edges.toReversed())).toEqual(places(edges))
    const [small, large] = layout(map(edges)).lines.map(({ weight }) => weight)
    expect(small).toBeLessThan(0.5)
    expect(large).toBe(1)
  })

  test('of nothing is nothing', () => {
    expect(layout(map([]))).toEqual({ height: 0, left: [], right: [], lines: [] })
  })
})

test('only groups with machines can be expanded', () => {
  expect(canExpand(node('a'))).toBe(true)
  expect(canExpand({ ...node('a'), machines: 0 })).toBe(false)
  expect(canExpand({ ...node('a'), kind: 'VirtualMachine' })).toBe(false)
})
