import type { ReactNode } from 'react'
import { cx } from './cx.ts'

type Props = {
  title: ReactNode
  kicker?: ReactNode
  subtitle?: ReactNode
  actions?: ReactNode
  tabs?: ReactNode
  children: ReactNode
  /** The page is exactly as tall as the window and scrolls inside (grids). */
  fill?: boolean
}

export function Page({ title, kicker, subtitle, actions, tabs, children, fill = false }: Props) {
  return (
    <div className={cx('mx-auto flex max-w-[1560px] flex-col gap-4 p-5', fill ? 'h-full min-h-0' : 'pb-10')}>
      <div className="flex items-end justify-between gap-4">
        <div className="min-w-0">
          {kicker && <div className="truncate text-xs text-ink-3">{kicker}</div>}
          <h1 className="flex items-center gap-2.5 truncate text-xl font-semibold tracking-tight">{title}</h1>
          {subtitle && <div className="tnum text-sm text-ink-2">{subtitle}</div>}
        </div>
        {actions && <div className="flex shrink-0 gap-2">{actions}</div>}
      </div>
      {tabs}
      {children}
    </div>
  )
}
