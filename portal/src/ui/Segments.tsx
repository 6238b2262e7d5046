import { Label, Radio, RadioGroup } from 'react-aria-components'
import { cx } from './cx.ts'

type Props<T extends string> = {
  label: string
  options: { id: T; label: string }[]
  value: T
  onChange: (id: T) => void
  hideLabel?: boolean
}

/** One of few, all visible. */
export function Segments<T extends string>({ label, options, value, onChange, hideLabel = false }: Props<T>) {
  return (
    <RadioGroup
      value={value}
      onChange={(id) => onChange(id as T)}
      orientation="horizontal"
      aria-label={hideLabel ? label : undefined}
      className="flex flex-col gap-1"
    >
      {!hideLabel && <Label className="text-xs font-medium text-ink-2">{label}</Label>}
      <div className="inline-flex h-8 w-fit rounded-md border border-line-strong bg-sunken p-0.5">
        {options.map((option) => (
          <Radio
            key={option.id}
            value={option.id}
            className={({ isSelected, isFocusVisible }) =>
              cx(
                'grid cursor-default place-items-center rounded px-3 text-sm whitespace-nowrap',
                isSelected ? 'bg-surface font-medium text-ink shadow-card' : 'text-ink-2 hover:text-ink',
                isFocusVisible && 'outline-2 outline-accent',
              )
            }
          >
            {option.label}
          </Radio>
        ))}
      </div>
    </RadioGroup>
  )
}
