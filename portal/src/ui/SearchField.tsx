import { Search, X } from 'lucide-react'
import { Button, Input, SearchField as AriaSearchField } from 'react-aria-components'
import { cx } from './cx.ts'

type Props = { label: string; value: string; onChange: (text: string) => void; className?: string }

export function SearchField({ label, value, onChange, className }: Props) {
  return (
    <AriaSearchField
      aria-label={label}
      value={value}
      onChange={onChange}
      className={cx(
        'flex h-8 shrink-0 items-center gap-2 rounded-md border border-line-strong bg-surface pr-1 pl-2.5 focus-within:border-accent focus-within:shadow-[0_0_0_3px_var(--accent-soft)]',
        className ?? 'w-64',
      )}
    >
      <Search size={14} className="shrink-0 text-ink-3" aria-hidden />
      <Input
        placeholder={label}
        className="w-full min-w-0 bg-transparent text-sm outline-none placeholder:text-ink-3 [&::-webkit-search-cancel-button]:hidden"
      />
      {value !== '' && (
        <Button className="grid size-6 shrink-0 place-items-center rounded text-ink-3 hover:text-ink">
          <X size={13} aria-hidden />
        </Button>
      )}
    </AriaSearchField>
  )
}
