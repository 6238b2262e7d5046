import { cx } from './cx.ts'
import type { Tone } from './tone.ts'

const tones: Record<Tone, string> = {
  crit: 'bg-crit',
  high: 'bg-high',
  med: 'bg-med',
  low: 'bg-low',
  ok: 'bg-ok',
  info: 'bg-info',
  accent: 'bg-accent',
}

export function Dot({ tone }: { tone: Tone }) {
  return <span aria-hidden className={cx('inline-block size-2 shrink-0 rounded-full', tones[tone])} />
}
