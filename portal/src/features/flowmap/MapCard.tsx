import type { KeyboardEvent } from 'react'
import type { FlowEdge, FlowMap, FlowNode } from '../../api/types.ts'
import { num } from '../../app/format.ts'
import { type Box, canExpand, layout, type Line, rowHeight } from '../../domain/flowMap.ts'
import { Card } from '../../ui/Card.tsx'
import { m } from './messages.ts'
import { nodeText } from './nodeText.ts'

const width = 1000
const box = 270
/** With more lines than this numbers would lie on each other. */
const counted = 12
const focus = 'cursor-pointer outline-none [&:focus-visible>.ring]:stroke-accent'

type Props = {
  map: FlowMap
  onEdge: (edge: FlowEdge) => void
  onExpand: (node: FlowNode) => void
}

/** The map as a drawing: who begins on the left, who is talked to on the right. The table below it says the same. */
export function MapCard({ map, onEdge, onExpand }: Props) {
  const { left, right, lines, height } = layout(map)
  const nodes = new Map(map.nodes.map((node) => [node.id, node]))
  const text = (id: string) => {
    const node = nodes.get(id)
    return node ? nodeText(node) : id
  }
  const label = ({ source, target, allowed, denied }: FlowEdge) => m.edge(text(source), text(target), allowed, denied)
  return (
    <Card title={m.map}>
      <div className="mb-2 flex gap-4 text-xs text-ink-2">
        <Legend className="stroke-accent" text={m.legendAllowed} />
        <Legend className="stroke-crit" dashed text={m.legendDenied} />
      </div>
      <div className="overflow-x-auto">
        <svg
          viewBox={`0 0 ${width} ${height + 24}`}
          className="w-full min-w-[640px]"
          style={{ maxHeight: height * 1.6 + 24 }}
          role="group"
          aria-label={m.map}
        >
          <text x={0} y={14} className="fill-ink-3 text-[13px]">
            {m.begins}
          </text>
          <text x={width - box} y={14} className="fill-ink-3 text-[13px]">
            {m.ends}
          </text>
          <g transform="translate(0 24)">
            {lines.map((line) => (
              <EdgeLine
                key={`${line.edge.source}|${line.edge.target}`}
                line={line}
                isCounted={lines.length <= counted}
                label={label(line.edge)}
                onPress={() => onEdge(line.edge)}
              />
            ))}
            {left.map((place) => (
              <NodeBox key={place.node.id} place={place} x={0} onExpand={onExpand} />
            ))}
            {right.map((place) => (
              <NodeBox key={place.node.id} place={place} x={width - box} onExpand={onExpand} />
            ))}
          </g>
        </svg>
      </div>
    </Card>
  )
}

function Legend({ className, text, dashed = false }: { className: string; text: string; dashed?: boolean }) {
  return (
    <span className="inline-flex items-center gap-1.5">
      <svg width={28} height={8} aria-hidden>
        <line
          x1={0}
          x2={28}
          y1={4}
          y2={4}
          strokeWidth={3}
          strokeDasharray={dashed ? '6 4' : undefined}
          className={className}
        />
      </svg>
      {text}
    </span>
  )
}

/** Drawings have no buttons; this is what makes a part of one. */
const pressed = (onPress: () => void) => ({
  role: 'button' as const,
  tabIndex: 0,
  onClick: onPress,
  onKeyDown: (event: KeyboardEvent) => {
    if (event.key !== 'Enter' && event.key !== ' ') return
    event.preventDefault()
    onPress()
  },
})

type EdgeProps = { line: Line; label: string; isCounted: boolean; onPress: () => void }

function EdgeLine({ line, label, isCounted, onPress }: EdgeProps) {
  const { edge, from, to, weight } = line
  const [start, end, bend] = [box, width - box, (width - 2 * box) / 2]
  const path = `M ${start} ${from} C ${start + bend} ${from}, ${end - bend} ${to}, ${end} ${to}`
  const isDenied = edge.denied > 0
  const isAllowed = edge.allowed > 0 || edge.bytesSent > 0 || edge.bytesReceived > 0
  return (
    <g {...pressed(onPress)} aria-label={label} className={focus}>
      <title>{label}</title>
      <path d={path} fill="none" strokeWidth={18} className="ring stroke-transparent" strokeOpacity={0.35} />
      {isAllowed && (
        <path d={path} fill="none" strokeWidth={1.5 + weight * 9} strokeOpacity={0.55} className="stroke-accent" />
      )}
      {isDenied && <path d={path} fill="none" strokeWidth={2.5} strokeDasharray="8 6" className="stroke-crit" />}
      {/* A straight line has no height of its own that could be pointed at. */}
      <rect x={width / 2 - 20} y={(from + to) / 2 - 9} width={40} height={18} fill="transparent" />
      {isCounted && (
        <text x={width / 2} y={(from + to) / 2 - 8} textAnchor="middle" className="tnum fill-ink-2 text-[11px]">
          {countText(edge)}
        </text>
      )}
    </g>
  )
}

function NodeBox({ place, x, onExpand }: { place: Box; x: number; onExpand: (node: FlowNode) => void }) {
  const { node, y } = place
  const text = nodeText(node)
  const detail = node.machines > 0 && node.kind !== 'VirtualMachine' ? ` · ${m.machines(node.machines)}` : ''
  const drawn = (
    <>
      <rect
        x={x + 0.5}
        y={y + 4.5}
        width={box - 1}
        height={rowHeight - 9}
        rx={6}
        strokeWidth={1.5}
        className="ring fill-surface stroke-line-strong"
      />
      <text x={x + 12} y={y + 21} className="fill-ink text-[13px] font-medium">
        {shortened(text, 34)}
      </text>
      <text x={x + 12} y={y + 36} className="fill-ink-2 text-[11px]">
        {shortened(`${m[node.kind]}${detail}`, 44)}
      </text>
    </>
  )
  if (!canExpand(node)) {
    return (
      <g>
        <title>{text}</title>
        {drawn}
      </g>
    )
  }
  return (
    <g {...pressed(() => onExpand(node))} aria-label={m.expand(text)} className={focus}>
      <title>{m.expand(text)}</title>
      {drawn}
    </g>
  )
}

/** Flows that were allowed, and packets that were not. */
function countText({ allowed, denied }: FlowEdge) {
  const texts = [allowed > 0 && num(allowed), denied > 0 && `✕ ${num(denied)}`]
  return texts.filter(Boolean).join(' · ')
}

const shortened = (text: string, most: number) => (text.length > most ? `${text.slice(0, most - 1)}…` : text)
