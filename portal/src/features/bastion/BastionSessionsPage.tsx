import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { SquareTerminal } from 'lucide-react'
import { useEffect, useEffectEvent, useState } from 'react'
import {
  type BastionSession,
  bastionQueries,
  endBastionSession,
  type Recording,
  type RecordingDeed,
} from '../../api/queries/bastion.ts'
import { useScope } from '../../app/scope.ts'
import { targetName } from '../../domain/bastion.ts'
import { LinkTabs } from '../../parts/LinkTabs.tsx'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { tabClass } from '../../parts/tabClass.ts'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Page } from '../../ui/Page.tsx'
import { SearchField } from '../../ui/SearchField.tsx'
import { LiveTable } from './LiveTable.tsx'
import { MessageDialog } from './MessageDialog.tsx'
import { s } from './messages.ts'
import { RecordingDialog } from './RecordingDialog.tsx'
import { RecordingTable } from './RecordingTable.tsx'

const route = getRouteApi('/shell/sessions')
const urlAfterMs = 400

export default function BastionSessionsPage() {
  const { tab } = route.useSearch()
  const { subscriptionId, resourceGroup } = useScope()
  const scope = resourceGroup ? `${subscriptionId}/resourceGroups/${resourceGroup}` : subscriptionId
  const isRecordings = tab === 'recordings'
  const link = (label: string, isCurrent: boolean, id?: string) => (
    <Link
      to="/sessions"
      search={{ tab: id }}
      aria-current={isCurrent ? 'page' : undefined}
      className={tabClass(isCurrent)}
    >
      {label}
    </Link>
  )
  return (
    <Page
      title={s.title}
      subtitle={s.subtitle}
      actions={
        <Link to="/bastion" search={{}} className="text-sm text-accent hover:underline">
          {s.policy}
        </Link>
      }
      tabs={
        <LinkTabs>
          {link(s.live, !isRecordings)}
          {link(s.recordings, isRecordings, 'recordings')}
        </LinkTabs>
      }
    >
      {isRecordings ? <Recordings scope={scope} /> : <Live scope={scope} />}
    </Page>
  )
}

export type Doing = { what: 'end' | 'message'; session: BastionSession }

function Live({ scope }: { scope: string }) {
  const sessions = useQuery(bastionQueries.sessions(scope))
  const [doing, setDoing] = useState<Doing>()
  const close = () => setDoing(undefined)
  return (
    <Card flush>
      <Section query={sessions}>
        {(rows) =>
          rows.length === 0 ? (
            <EmptyState icon={<SquareTerminal size={20} aria-hidden />} title={s.none} />
          ) : (
            <LiveTable sessions={rows} onDo={setDoing} />
          )
        }
      </Section>
      {doing?.what === 'message' && <MessageDialog session={doing.session} onClose={close} />}
      {doing?.what === 'end' && (
        <ReviewDialog<unknown>
          title={s.endTitle(targetName(doing.session))}
          writes={[endBastionSession(doing.session)]}
          confirm={s.end}
          done={s.ended}
          onDone={close}
          onClose={close}
        >
          <p className="text-sm">{s.endWhy}</p>
        </ReviewDialog>
      )}
    </Card>
  )
}

function Recordings({ scope }: { scope: string }) {
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const [query, setQuery] = useState(search.q ?? '')
  const asked = search.q ?? ''
  const recordings = useQuery(bastionQueries.recordings(scope, asked))
  const [doing, setDoing] = useState<{ deed: RecordingDeed; recording: Recording }>()
  // Screens of every session are searched: not at every key.
  const ask = useEffectEvent((text: string) => {
    if (text !== asked) void navigate({ search: (old) => ({ ...old, q: text || undefined }), replace: true })
  })
  useEffect(() => {
    const timer = setTimeout(() => ask(query.trim()), urlAfterMs)
    return () => clearTimeout(timer)
  }, [query])
  return (
    <Card flush>
      <div className="border-b border-line px-3 py-2.5">
        <SearchField label={s.search} value={query} onChange={setQuery} className="w-80" />
      </div>
      <Section query={recordings}>
        {(rows) =>
          rows.length === 0 ? (
            <EmptyState title={asked ? s.noMatch : s.noRecordings} />
          ) : (
            <RecordingTable
              recordings={rows}
              isSearch={asked !== ''}
              onDo={(deed, recording) => setDoing({ deed, recording })}
            />
          )
        }
      </Section>
      {doing && <RecordingDialog {...doing} onClose={() => setDoing(undefined)} />}
    </Card>
  )
}
