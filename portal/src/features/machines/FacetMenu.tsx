import { Ban, ChevronDown } from 'lucide-react'
import { createContext, memo, useContext, useState } from 'react'
import { Button, Dialog, DialogTrigger, Popover } from 'react-aria-components'
import { num } from '../../app/format.ts'
import type { FacetKey, Facets, Term } from '../../domain/machineFilter.ts'
import { Checkbox } from '../../ui/Checkbox.tsx'
import { cx } from '../../ui/cx.ts'
import { SearchField } from '../../ui/SearchField.tsx'
import { facetText } from './facetText.ts'
import { m } from './messages.ts'

type Props = { facet: FacetKey; terms: Term[]; onChange: (terms: Term[]) => void }

/** Only a menu that is open looks at the counts, which change with every key. */
export const FacetCounts = createContext<Facets | undefined>(undefined)

/** One facet: tick values to see only them, or exclude them. The counts are what each choice would show. */
export const FacetMenu = memo(function FacetMenu({ facet, terms, onChange }: Props) {
  const mine = terms.filter((term) => term.key === facet)
  return (
    <DialogTrigger>
      <Button
        className={cx(
          'inline-flex h-7 shrink-0 items-center gap-1.5 rounded-full border px-2.5 text-xs',
          mine.length > 0
            ? 'border-accent bg-accent-soft font-medium text-accent'
            : 'border-line-strong text-ink-2 hover:bg-sunken',
        )}
      >
        {m[facet]}
        {mine.length > 0 && <span className="tnum">{num(mine.length)}</span>}
        <ChevronDown size={12} aria-hidden />
      </Button>
      <Popover placement="bottom start" className="w-72 rounded-lg border border-line bg-raised shadow-pop">
        <Dialog aria-label={m[facet]} className="flex max-h-96 flex-col gap-1 p-2 outline-none">
          <FacetValues facet={facet} terms={terms} onChange={onChange} />
        </Dialog>
      </Popover>
    </DialogTrigger>
  )
})

function FacetValues({ facet, terms, onChange }: Props) {
  const values = useContext(FacetCounts)?.[facet] ?? []
  const [query, setQuery] = useState('')
  const mine = terms.filter((term) => term.key === facet)
  const shown = values
    .filter(([value]) => facetText(facet, value).toLowerCase().includes(query.toLowerCase()))
    .slice(0, 100)
  const others = (value: string) => terms.filter((term) => term.key !== facet || term.value !== value)
  const set = (value: string, state: 'only' | 'not' | undefined) =>
    onChange(state ? [...others(value), { key: facet, value, not: state === 'not' }] : others(value))
  return (
    <>
      {values.length > 8 && <SearchField label={m.find} value={query} onChange={setQuery} className="w-full" />}
      <ul className="min-h-0 overflow-auto">
        {shown.map(([value, count]) => {
          const term = mine.find((item) => item.value === value)
          const label = facetText(facet, value)
          return (
            <li key={value} className="flex items-center gap-2 rounded px-1.5 py-1 hover:bg-sunken">
              <div className="min-w-0 flex-1">
                <Checkbox
                  label={m.include(label)}
                  isSelected={term !== undefined && !term.not}
                  onChange={(on) => set(value, on ? 'only' : undefined)}
                >
                  <span className={cx('truncate', term?.not && 'text-ink-3 line-through')}>{label}</span>
                </Checkbox>
              </div>
              <span className="tnum text-xs text-ink-3">{num(count)}</span>
              <button
                type="button"
                aria-label={m.exclude(label)}
                aria-pressed={term?.not === true}
                onClick={() => set(value, term?.not ? undefined : 'not')}
                className={cx(
                  'inline-flex h-5 items-center gap-1 rounded px-1.5 text-2xs font-semibold',
                  term?.not ? 'bg-crit-soft text-crit' : 'text-ink-3 hover:bg-line',
                )}
              >
                <Ban size={10} aria-hidden />
                {m.excludeShort}
              </button>
            </li>
          )
        })}
      </ul>
    </>
  )
}
