import { Check } from 'lucide-react'
import type { ReactNode } from 'react'
import { Checkbox as AriaCheckbox } from 'react-aria-components'
import { cx } from './cx.ts'

type Props = {
  children?: ReactNode
  label?: string
  isSelected: boolean
  onChange: (on: boolean) => void
  isDisabled?: boolean
}

export function Checkbox({ children, label, ...props }: Props) {
  return (
    <AriaCheckbox
      {...props}
      aria-label={label}
      className="flex cursor-default items-start gap-2 text-sm disabled:opacity-50"
    >
      {({ isSelected, isFocusVisible }) => (
        <>
          <span
            className={cx(
              'mt-[3px] grid size-4 shrink-0 place-items-center rounded border',
              isSelected ? 'border-accent bg-accent text-accent-ink' : 'border-line-strong bg-surface',
              isFocusVisible && 'outline-2 outline-offset-2 outline-accent',
            )}
          >
            {isSelected && <Check size={12} strokeWidth={3} aria-hidden />}
          </span>
          {children}
        </>
      )}
    </AriaCheckbox>
  )
}
