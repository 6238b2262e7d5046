import type { ReactNode } from 'react'
import { Button, Tooltip, TooltipTrigger } from 'react-aria-components'
import { cx } from './cx.ts'

type Props = { label: string; children: ReactNode; onPress?: () => void; isDisabled?: boolean; compact?: boolean }

export function IconButton({ label, children, onPress, isDisabled, compact = false }: Props) {
  return (
    <TooltipTrigger delay={400}>
      <Button
        aria-label={label}
        onPress={onPress}
        isDisabled={isDisabled}
        className={cx(
          'grid shrink-0 place-items-center rounded-md text-ink-2 hover:bg-sunken hover:text-ink disabled:opacity-40',
          compact ? 'size-7' : 'size-8',
        )}
      >
        {children}
      </Button>
      <Tooltip className="max-w-72 rounded-md bg-ink px-2 py-1 text-xs text-surface shadow-pop" offset={4}>
        {label}
      </Tooltip>
    </TooltipTrigger>
  )
}
