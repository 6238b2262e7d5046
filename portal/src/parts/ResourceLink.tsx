import { Link } from '@tanstack/react-router'
import type { ReactNode } from 'react'
import { nameOf } from '../domain/armId.ts'
import { cx } from '../ui/cx.ts'

type Props = {
  id: string
  tab?: string
  children?: ReactNode
  className?: string
  tabIndex?: number
  rule?: string
  onClick?: () => void
}

export function ResourceLink({ id, tab, children, className, tabIndex, rule, onClick }: Props) {
  return (
    <Link
      to="/r/$"
      params={{ _splat: id.slice(1) + (tab ? `/${tab}` : '') }}
      search={rule ? { rule } : {}}
      tabIndex={tabIndex}
      onClick={onClick}
      className={cx('hover:text-accent hover:underline', className ?? 'font-medium')}
    >
      {children ?? nameOf(id)}
    </Link>
  )
}
