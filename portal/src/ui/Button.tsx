import { LoaderCircle } from 'lucide-react'
import type { ReactNode } from 'react'
import { Button as AriaButton, type ButtonProps } from 'react-aria-components'
import { cx } from './cx.ts'

const variants = {
  primary: 'border-transparent bg-accent text-accent-ink hover:brightness-110 pressed:brightness-95',
  secondary: 'border-line-strong bg-surface text-ink hover:bg-sunken',
  ghost: 'border-transparent bg-transparent text-ink-2 hover:bg-sunken hover:text-ink',
  danger: 'border-transparent bg-crit text-white hover:brightness-110 dark:text-[#25060d]',
}
const sizes = { sm: 'h-7 px-2.5 text-xs', md: 'h-8 px-3 text-sm', lg: 'h-10 px-4 text-base' }

type Props = Omit<ButtonProps, 'className' | 'children' | 'isPending'> & {
  variant?: keyof typeof variants
  size?: keyof typeof sizes
  className?: string
  children?: ReactNode
  /** Keeps the focus but does nothing more until the work is done. */
  isPending?: boolean
}

export function Button({
  variant = 'secondary',
  size = 'md',
  className,
  children,
  isPending = false,
  onPress,
  type,
  ...props
}: Props) {
  return (
    <AriaButton
      {...props}
      type={isPending ? 'button' : type}
      onPress={isPending ? undefined : onPress}
      className={cx(
        'inline-flex cursor-default items-center justify-center gap-1.5 rounded-md border font-medium whitespace-nowrap transition-colors disabled:opacity-45',
        isPending && 'opacity-70',
        sizes[size],
        variants[variant],
        className,
      )}
    >
      {isPending && <LoaderCircle size={14} className="animate-spin" aria-hidden />}
      {children}
    </AriaButton>
  )
}
