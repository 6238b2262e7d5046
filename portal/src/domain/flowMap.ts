import type { FlowEdge, FlowMap, FlowNode } from '../api/types.ts'

/** Where the parts of a map are drawn: who begins on the left, who is talked to on the right, what flows between them. */
export type Layout = { height: number; left: Box[]; right: Box[]; lines: Line[] }
export type Box = { node: FlowNode; y: number }
/** `weight` is from 0 to 1. */
export type Line = { edge: FlowEdge; from: number; to: number; weight: number }

export const rowHeight = 48

/** What an edge carries, for comparison: bytes spread too far to be drawn as they are. */
const size = (edge: FlowEdge) =>
  Math.log10(1 + edge.bytesSent + edge.bytesReceived) + Math.log10(1 + edge.allowed + edge.denied)

const byIds = (left: FlowNode, right: FlowNode) => left.id.localeCompare(right.id)

/** A column, each node near those on the other side that it talks with, so that few lines cross. */
function ordered(nodes: FlowNode[], near: (node: FlowNode) => number[]) {
  const middle = (node: FlowNode) => {
    const places = near(node)
    return places.reduce((sum, place) => sum + place, 0) / Math.max(1, places.length)
  }
  const keyed = nodes.map((node) => ({ node, at: middle(node) }))
  return keyed.sort((a, b) => a.at - b.at || byIds(a.node, b.node)).map(({ node }) => node)
}

export function layout(map: FlowMap): Layout {
  const nodes = new Map(map.nodes.map((node) => [node.id, node]))
  const column = (end: 'source' | 'target') =>
    [...new Set(map.edges.map((edge) => edge[end]))].flatMap((id) => nodes.get(id) ?? [])
  const weight = (node: FlowNode, end: 'source' | 'target') =>
    map.edges.reduce((sum, edge) => (edge[end] === node.id ? sum + size(edge) : sum), 0)
  const first = column('source').sort((a, b) => weight(b, 'source') - weight(a, 'source') || byIds(a, b))
  const placeOf = (all: FlowNode[]) => new Map(all.map((node, at) => [node.id, at]))
  const before = placeOf(first)
  const right = ordered(column('target'), ({ id }) =>
    map.edges.filter((edge) => edge.target === id).map((edge) => before.get(edge.source) ?? 0),
  )
  const after = placeOf(right)
  const left = ordered(first, ({ id }) =>
    map.edges.filter((edge) => edge.source === id).map((edge) => after.get(edge.target) ?? 0),
  )
  const boxes = (all: FlowNode[]) => all.map((node, at) => ({ node, y: at * rowHeight }))
  const middle = (place: number | undefined) => (place ?? 0) * rowHeight + rowHeight / 2
  const from = placeOf(left)
  const most = Math.max(1e-9, ...map.edges.map(size))
  return {
    height: Math.max(left.length, right.length) * rowHeight,
    left: boxes(left),
    right: boxes(right),
    lines: map.edges.map((edge) => ({
      edge,
      from: middle(from.get(edge.source)),
      to: middle(after.get(edge.target)),
      weight: size(edge) / most,
    })),
  }
}

/** A group can be opened into its machines; a machine and the world outside cannot. */
export const canExpand = (node: FlowNode) => node.machines > 0 && node.kind !== 'VirtualMachine'
