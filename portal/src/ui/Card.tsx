import { type ReactNode, useId } from 'react'
import { cx } from './cx.ts'

type Props = { title?: ReactNode; actions?: ReactNode; children: ReactNode; className?: string; flush?: boolean }

/** `flush` lets a table reach the card's edges. */
export function Card({ title, actions, children, className, flush = false }: Props) {
  const heading = useId()
  return (
    <section
      aria-labelledby={title ? heading : undefined}
      className={cx(
        'flex min-w-0 flex-col overflow-hidden rounded-xl border border-line bg-surface shadow-card',
        className,
      )}
    >
      {title && (
        <header className="flex h-11 shrink-0 items-center justify-between gap-3 px-4">
          <h2 id={heading} className="truncate text-sm font-semibold text-ink">
            {title}
          </h2>
          <div className="flex items-center gap-1.5">{actions}</div>
        </header>
      )}
      <div className={cx('min-w-0 flex-1', !flush && 'px-4 pb-4', !flush && !title && 'pt-4')}>{children}</div>
    </section>
  )
}
