import { useState } from 'react'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { SearchField } from '../../ui/SearchField.tsx'
import { m } from './messages.ts'

export function ActionsAnswer({ actions }: { actions: string[] }) {
  const [query, setQuery] = useState('')
  const shown = actions.filter((action) => action.toLowerCase().includes(query.trim().toLowerCase()))
  return (
    <Card
      title={m.whatCount(actions.length)}
      actions={<SearchField label={m.find} value={query} onChange={setQuery} className="w-56" />}
    >
      {shown.length === 0 ? (
        <EmptyState title={m.nothing} />
      ) : (
        <ul className="columns-1 gap-8 font-mono text-xs leading-6 2xl:columns-2">
          {shown.map((action) => (
            <li key={action} className="break-all">
              {action}
            </li>
          ))}
        </ul>
      )}
    </Card>
  )
}
