import { cx } from '../ui/cx.ts'

export const tabClass = (current: boolean) =>
  cx(
    '-mb-px border-b-2 px-3 py-2 text-sm whitespace-nowrap',
    current ? 'border-accent font-medium text-ink' : 'border-transparent text-ink-2 hover:text-ink',
  )
