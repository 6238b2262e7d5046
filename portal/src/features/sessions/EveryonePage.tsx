import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { directoryQueries, endLiveSession, revokeSignIns } from '../../api/queries/directory.ts'
import type { LiveSession } from '../../api/types.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Page } from '../../ui/Page.tsx'
import { SearchField } from '../../ui/SearchField.tsx'
import { EveryoneTable, throughWhat } from './EveryoneTable.tsx'
import { m } from './everyoneMessages.ts'

export type Ending = { what: 'one' | 'all'; session: LiveSession }

const text = (session: LiveSession) =>
  [session.userDisplayName, session.userPrincipalName, session.ipAddress, throughWhat(session)].join(' ').toLowerCase()

export default function EveryonePage() {
  const sessions = useQuery(directoryQueries.liveSessions())
  const [query, setQuery] = useState('')
  const [ending, setEnding] = useState<Ending>()
  const close = () => setEnding(undefined)
  const needle = query.trim().toLowerCase()
  return (
    <Page title={m.title} subtitle={m.subtitle}>
      <Card flush>
        <div className="border-b border-line px-3 py-2.5">
          <SearchField label={m.find} value={query} onChange={setQuery} />
        </div>
        <Section query={sessions}>
          {(all) => {
            const rows = all.filter((session) => text(session).includes(needle))
            return rows.length === 0 ? (
              <EmptyState title={m.none} />
            ) : (
              <EveryoneTable sessions={rows} onEnd={setEnding} />
            )
          }}
        </Section>
      </Card>
      {ending && (
        <ReviewDialog<unknown>
          title={
            ending.what === 'all'
              ? m.endAllTitle(ending.session.userDisplayName)
              : m.endTitle(ending.session.userDisplayName, throughWhat(ending.session))
          }
          writes={[ending.what === 'all' ? revokeSignIns(ending.session) : endLiveSession(ending.session)]}
          confirm={ending.what === 'all' ? m.endAll : m.end}
          done={m.ended}
          onDone={close}
          onClose={close}
        >
          <p className="text-sm">{ending.what === 'all' ? m.endAllWhy : m.endWhy}</p>
        </ReviewDialog>
      )}
    </Page>
  )
}
