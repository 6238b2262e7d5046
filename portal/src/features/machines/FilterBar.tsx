import { X } from 'lucide-react'
import type { ReactNode } from 'react'
import { type FacetKey, facetKeys, type Facets, formatTerm, type Term } from '../../domain/machineFilter.ts'
import { Button } from '../../ui/Button.tsx'
import { SearchField } from '../../ui/SearchField.tsx'
import { FacetCounts, FacetMenu } from './FacetMenu.tsx'
import { termText } from './facetText.ts'
import { m } from './messages.ts'

type Props = {
  query: string
  onQuery: (query: string) => void
  terms: Term[]
  onTerms: (terms: Term[]) => void
  facets: Facets
  trailing: ReactNode
}

export function FilterBar({ query, onQuery, terms, onTerms, facets, trailing }: Props) {
  const usable = facetKeys.filter((key: FacetKey) => facets[key].length > 1 || terms.some((term) => term.key === key))
  return (
    <div className="flex flex-col gap-2 border-b border-line px-3 py-2.5">
      <div className="flex items-center gap-2">
        <SearchField label={m.filter} value={query} onChange={onQuery} className="w-72" />
        <div className="flex min-w-0 flex-1 gap-1.5 overflow-x-auto [scrollbar-width:none]">
          <FacetCounts value={facets}>
            {usable.map((key) => (
              <FacetMenu key={key} facet={key} terms={terms} onChange={onTerms} />
            ))}
          </FacetCounts>
        </div>
        {trailing}
      </div>
      {terms.length > 0 && (
        <div className="flex flex-wrap items-center gap-1.5">
          {terms.map((term) => (
            <button
              key={formatTerm(term)}
              type="button"
              aria-label={m.remove(termText(term))}
              onClick={() => onTerms(terms.filter((item) => item !== term))}
              className="inline-flex h-6 items-center gap-1.5 rounded bg-accent-soft px-2 text-xs text-accent hover:brightness-95"
            >
              {termText(term)}
              <X size={11} aria-hidden />
            </button>
          ))}
          <Button size="sm" variant="ghost" onPress={() => onTerms([])}>
            {m.clear}
          </Button>
        </div>
      )}
    </div>
  )
}
