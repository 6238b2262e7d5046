import type { ReactNode } from 'react'
import { cx } from './cx.ts'

type Props = { icon?: ReactNode; title: string; children?: ReactNode; action?: ReactNode; tone?: 'neutral' | 'good' }

export function EmptyState({ icon, title, children, action, tone = 'neutral' }: Props) {
  return (
    <div className="grid place-items-center px-6 py-12 text-center">
      <div className="flex max-w-md flex-col items-center gap-2">
        {icon && (
          <span
            className={cx(
              'grid size-10 place-items-center rounded-full',
              tone === 'good' ? 'bg-ok-soft text-ok' : 'bg-sunken text-ink-3',
            )}
          >
            {icon}
          </span>
        )}
        <p className="font-medium">{title}</p>
        {children && <div className="text-sm text-ink-2">{children}</div>}
        {action && <div className="mt-2">{action}</div>}
      </div>
    </div>
  )
}
