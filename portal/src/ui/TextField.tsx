import { type ReactNode, useId } from 'react'
import {
  FieldError,
  Input,
  Label,
  Text,
  TextArea,
  TextField as AriaTextField,
  type TextFieldProps,
} from 'react-aria-components'
import { cx } from './cx.ts'

type Props = Omit<TextFieldProps, 'className' | 'children'> & {
  label: string
  hint?: ReactNode
  error?: string
  placeholder?: string
  mono?: boolean
  rows?: number
  className?: string
  inputMode?: 'numeric' | 'text'
  /** What may be meant; anything else may be typed. */
  suggestions?: readonly string[]
}

/** `error` is shown as soon as it exists: forms validate while typing and say what is wrong, not that it is. */
export function TextField(field: Props) {
  const { label, hint, error, placeholder, mono, rows, className, suggestions, ...props } = field
  const list = useId()
  const box = cx(
    'w-full rounded-md border border-line-strong bg-surface px-2.5 outline-none placeholder:text-ink-3 focus:border-accent focus:shadow-[0_0_0_3px_var(--accent-soft)] disabled:bg-sunken disabled:text-ink-2 invalid:border-crit',
    mono ? 'font-mono text-xs' : 'text-sm',
  )
  return (
    <AriaTextField {...props} isInvalid={error !== undefined} className={cx('flex flex-col gap-1', className)}>
      <Label className="text-xs font-medium text-ink-2">{label}</Label>
      {rows ? (
        <TextArea rows={rows} placeholder={placeholder} className={cx(box, 'py-1.5 leading-5')} />
      ) : (
        <Input placeholder={placeholder} className={cx(box, 'h-8')} list={suggestions && list} />
      )}
      {suggestions && (
        <datalist id={list}>
          {suggestions.map((text) => (
            <option key={text} value={text}>
              {text}
            </option>
          ))}
        </datalist>
      )}
      {hint && !error && (
        <Text slot="description" className="text-xs text-ink-3">
          {hint}
        </Text>
      )}
      <FieldError className="text-xs text-crit">{error}</FieldError>
    </AriaTextField>
  )
}
