import { ChevronDown } from 'lucide-react'
import type { ReactNode } from 'react'
import {
  Button,
  ComboBox as AriaComboBox,
  Input,
  Label,
  ListBox,
  ListBoxItem,
  ListLayout,
  Popover,
  Text,
  Virtualizer,
} from 'react-aria-components'
import { cx } from './cx.ts'
import type { Option } from './Select.tsx'

type Props = {
  label: string
  options: Option[]
  value: string
  onChange: (id: string) => void
  placeholder?: string
  hint?: ReactNode
  empty: string
  className?: string
  mono?: boolean
}

/** Pick one of many by typing; the list is virtual, so thousands of options are fine. */
export function ComboBox({
  label,
  options,
  value,
  onChange,
  placeholder,
  hint,
  empty,
  className,
  mono = false,
}: Props) {
  return (
    <AriaComboBox
      value={value || null}
      onChange={(id) => onChange(id === null ? '' : String(id))}
      defaultItems={options}
      allowsEmptyCollection
      menuTrigger="focus"
      className={cx('flex min-w-0 flex-col gap-1', className)}
    >
      <Label className="text-xs font-medium text-ink-2">{label}</Label>
      <div className="flex h-8 items-center rounded-md border border-line-strong bg-surface focus-within:border-accent focus-within:shadow-[0_0_0_3px_var(--accent-soft)]">
        <Input
          placeholder={placeholder}
          className={cx(
            'min-w-0 flex-1 bg-transparent px-2.5 outline-none placeholder:text-ink-3',
            mono ? 'font-mono text-xs' : 'text-sm',
          )}
        />
        <Button className="grid h-full w-8 place-items-center text-ink-3">
          <ChevronDown size={14} aria-hidden />
        </Button>
      </div>
      {hint && (
        <Text slot="description" className="text-xs text-ink-3">
          {hint}
        </Text>
      )}
      <Popover className="w-(--trigger-width) rounded-lg border border-line bg-raised p-1 shadow-pop">
        <Virtualizer layout={ListLayout} layoutOptions={{ rowHeight: 32 }}>
          <ListBox<Option>
            className="max-h-72 overflow-auto outline-none"
            renderEmptyState={() => <div className="px-2 py-1.5 text-sm text-ink-3">{empty}</div>}
          >
            {(option) => (
              <ListBoxItem
                textValue={`${option.label} ${option.detail ?? ''}`}
                className="flex h-8 cursor-default items-center gap-2 rounded px-2 text-sm outline-none focus:bg-accent-soft"
              >
                <span className={cx('truncate', mono && 'font-mono text-xs')}>{option.label}</span>
                {option.detail && <span className="ml-auto shrink-0 pl-4 text-xs text-ink-3">{option.detail}</span>}
              </ListBoxItem>
            )}
          </ListBox>
        </Virtualizer>
      </Popover>
    </AriaComboBox>
  )
}
