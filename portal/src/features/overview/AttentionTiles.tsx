import { Link } from '@tanstack/react-router'
import { CircleCheck } from 'lucide-react'
import type { ReactNode } from 'react'
import type { EnrolmentToken, Machine } from '../../api/types.ts'
import { num } from '../../app/format.ts'
import type { Exposure } from '../../domain/exposure.ts'
import { cx } from '../../ui/cx.ts'
import { Dot } from '../../ui/Dot.tsx'
import { Skeleton } from '../../ui/Skeleton.tsx'
import type { Tone } from '../../ui/tone.ts'
import { m } from './messages.ts'
import { soonExpiring } from './soonExpiring.ts'

type Props = {
  machines: Machine[]
  exposures: Exposure[] | undefined
  tokens: EnrolmentToken[] | undefined
  /** Requests for access that wait for the person. */
  waiting: number | undefined
}

/** Every number is a link to exactly the rows it counts. */
export function AttentionTiles({ machines, exposures, tokens, waiting }: Props) {
  const count = (test: (machine: Machine) => boolean) => machines.filter(test).length
  return (
    <section aria-label={m.attention}>
      <h2 className="mb-2 text-sm font-semibold">{m.attention}</h2>
      <div className="grid grid-cols-2 gap-3 md:grid-cols-4 xl:grid-cols-7">
        <Filtered
          f={['status:offline', 'status:stale']}
          tone="crit"
          label={m.silent}
          count={count(({ status }) => status === 'offline' || status === 'stale')}
        />
        <Filtered
          f={['network:failed', 'network:reverted']}
          tone="crit"
          label={m.failed}
          count={count(({ network }) => network.state === 'failed' || network.state === 'reverted')}
        />
        <Link to="/nsg" className={tile}>
          <Figure tone="high" label={m.exposed} count={exposures?.length} />
        </Link>
        <Filtered f={['nsg:none']} tone="med" label={m.unguarded} count={count(({ nsgs }) => nsgs.length === 0)} />
        <Filtered
          f={['network:pending']}
          tone="info"
          label={m.pending}
          count={count(({ network }) => network.state === 'pending')}
        />
        <Link to="/enrolment" className={tile}>
          <Figure tone="low" label={m.tokens} count={tokens && soonExpiring(tokens)} />
        </Link>
        <Link to="/jit" className={tile}>
          <Figure tone="info" label={m.waiting} count={waiting} />
        </Link>
      </div>
    </section>
  )
}

const tile =
  'group flex min-h-[100px] flex-col rounded-xl border border-line bg-surface px-4 pt-3 pb-2.5 shadow-card hover:border-accent-line'

type FigureProps = { tone: Tone; label: string; count: number | undefined }

function Filtered({ f, ...figure }: FigureProps & { f: string[] }) {
  return (
    <Link to="/machines" search={{ f }} className={tile}>
      <Figure {...figure} />
    </Link>
  )
}

function Figure({ tone, label, count }: FigureProps) {
  let value: ReactNode
  if (count === undefined) value = <Skeleton className="h-8 w-12" />
  else {
    value = (
      <span className="flex h-8 items-center gap-2">
        {count === 0 ? (
          <CircleCheck size={16} className="text-ok" aria-label={m.fine} role="img" />
        ) : (
          <Dot tone={tone} />
        )}
        <span className={cx('tnum text-2xl font-semibold tracking-tight', count === 0 && 'text-ink-3')}>
          {num(count)}
        </span>
      </span>
    )
  }
  return (
    <>
      {value}
      <span className="mt-auto text-xs leading-snug text-balance text-ink-2 group-hover:text-accent">{label}</span>
    </>
  )
}
