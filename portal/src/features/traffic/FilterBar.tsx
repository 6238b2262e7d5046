import type { ReactNode } from 'react'
import { Segments } from '../../ui/Segments.tsx'
import { m } from './messages.ts'

export type Span = '15' | '60' | '1440'
export type Kind = 'all' | 'Allow' | 'Deny'

type Props = {
  span: Span
  onSpan: (span: Span) => void
  kind: Kind
  onKind: (kind: Kind) => void
  children?: ReactNode
}

/** Of which time, and whether what was allowed, denied, or both. */
export function FilterBar({ span, onSpan, kind, onKind, children }: Props) {
  return (
    <div className="flex flex-wrap items-end gap-3">
      <Segments
        label={m.time}
        hideLabel
        value={span}
        onChange={onSpan}
        options={[
          { id: '15', label: m.last15 },
          { id: '60', label: m.last60 },
          { id: '1440', label: m.lastDay },
        ]}
      />
      <Segments
        label={m.which}
        hideLabel
        value={kind}
        onChange={onKind}
        options={[
          { id: 'all', label: m.all },
          { id: 'Allow', label: m.allowed },
          { id: 'Deny', label: m.denied },
        ]}
      />
      {children}
    </div>
  )
}
