import type { ReactNode } from 'react'
import { cx } from './cx.ts'
import type { Tone } from './tone.ts'

const tones: Record<Tone, string> = {
  crit: 'bg-crit-soft text-crit',
  high: 'bg-high-soft text-high',
  med: 'bg-med-soft text-med',
  low: 'bg-low-soft text-low',
  ok: 'bg-ok-soft text-ok',
  info: 'bg-info-soft text-info',
  accent: 'bg-accent-soft text-accent',
}

export function Badge({ tone, children }: { tone: Tone; children: ReactNode }) {
  return (
    <span
      className={cx(
        'tnum inline-flex h-5 items-center gap-1 rounded px-1.5 text-2xs font-semibold whitespace-nowrap',
        tones[tone],
      )}
    >
      {children}
    </span>
  )
}
