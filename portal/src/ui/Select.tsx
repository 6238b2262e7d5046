import { Check, ChevronDown } from 'lucide-react'
import type { ReactNode } from 'react'
import { Button, Label, ListBox, ListBoxItem, Popover, Select as AriaSelect, SelectValue } from 'react-aria-components'
import { cx } from './cx.ts'

export type Option = { id: string; label: string; detail?: string }

type Props = {
  label: string
  options: Option[]
  value: string
  onChange: (id: string) => void
  className?: string
  hideLabel?: boolean
  placeholder?: ReactNode
  isDisabled?: boolean
}

export function Select({
  label,
  options,
  value,
  onChange,
  className,
  hideLabel = false,
  placeholder,
  isDisabled,
}: Props) {
  return (
    <AriaSelect
      value={value || null}
      onChange={(id) => onChange(String(id))}
      isDisabled={isDisabled}
      aria-label={hideLabel ? label : undefined}
      className={cx('flex min-w-0 flex-col gap-1', className)}
    >
      {!hideLabel && <Label className="text-xs font-medium text-ink-2">{label}</Label>}
      <Button className="flex h-8 w-full min-w-0 items-center gap-2 rounded-md border border-line-strong bg-surface px-2.5 text-left text-sm hover:bg-sunken disabled:opacity-50">
        <SelectValue className="min-w-0 flex-1 truncate">
          {({ isPlaceholder }) =>
            isPlaceholder ? (
              <span className="text-ink-3">{placeholder ?? '–'}</span>
            ) : (
              (options.find((option) => option.id === value)?.label ?? value)
            )
          }
        </SelectValue>
        <ChevronDown size={14} className="shrink-0 text-ink-3" aria-hidden />
      </Button>
      <Popover className="min-w-(--trigger-width) overflow-auto rounded-lg border border-line bg-raised p-1 shadow-pop">
        <ListBox items={options} className="max-h-80 outline-none">
          {(option) => (
            <ListBoxItem
              textValue={option.label}
              className="flex cursor-default items-center gap-2 rounded px-2 py-1.5 text-sm outline-none focus:bg-accent-soft"
            >
              {({ isSelected }) => (
                <>
                  <Check size={14} className={cx('shrink-0', isSelected ? 'text-accent' : 'invisible')} aria-hidden />
                  <span>{option.label}</span>
                  {option.detail && <span className="ml-auto pl-4 text-xs text-ink-3">{option.detail}</span>}
                </>
              )}
            </ListBoxItem>
          )}
        </ListBox>
      </Popover>
    </AriaSelect>
  )
}
