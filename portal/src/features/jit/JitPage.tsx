import { useQuery, type UseQueryResult } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { DoorClosed } from 'lucide-react'
import { useState } from 'react'
import { fleetQueries } from '../../api/queries/fleet.ts'
import { decide, jitQueries } from '../../api/queries/jit.ts'
import { jitWaiting } from '../../api/queries/jitWaiting.ts'
import type { JitPolicy, Machine } from '../../api/types.ts'
import { bytes } from '../../app/format.ts'
import { useScope } from '../../app/scope.ts'
import {
  asked,
  type Asked,
  endOf,
  type Guarded,
  hasOpen,
  isTheirs,
  isUnused,
  isWaiting,
  offersOf,
  sorted,
  stateOf,
  usageOf,
} from '../../domain/access.ts'
import { nameOf } from '../../domain/armId.ts'
import { minutesOf } from '../../domain/isoDuration.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { spanText } from '../../parts/spanText.ts'
import { When } from '../../parts/When.tsx'
import { Badge } from '../../ui/Badge.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Page } from '../../ui/Page.tsx'
import { Segments } from '../../ui/Segments.tsx'
import { actionsColumn, Table, type TableColumn } from '../../ui/Table.tsx'
import { AskDialog } from './AskDialog.tsx'
import { Countdown } from './Countdown.tsx'
import { DecideDialog } from './DecideDialog.tsx'
import { ExtendDialog } from './ExtendDialog.tsx'
import { GuardDialog } from './GuardDialog.tsx'
import { m } from './messages.ts'
import { givesText, sourcesText } from './requestText.ts'
import { stateText, stateTone } from './stateText.ts'
import { TimelinePanel } from './TimelinePanel.tsx'

const route = getRouteApi('/shell/jit')

const machinesText = ({ request }: Asked) => request.virtualMachines.map(({ id }) => nameOf(id)).join(', ')

const what: TableColumn<Asked>[] = [
  { id: 'machine', header: m.machine, cell: (item) => <span className="font-medium">{machinesText(item)}</span> },
  { id: 'gives', header: m.gives, cell: (item) => <span className="tnum">{givesText(item.request)}</span> },
  {
    id: 'source',
    header: m.source,
    cell: (item) => <span className="font-mono text-xs">{sourcesText(item.request)}</span>,
  },
  { id: 'who', header: m.who, cell: (item) => item.request.requestor },
]
const why: TableColumn<Asked> = {
  id: 'why',
  header: m.why,
  cell: (item) => <span className="block max-w-xs truncate">{item.request.justification}</span>,
}

export default function JitPage() {
  const { session, subscriptionId } = useScope()
  const policies = useQuery(jitQueries.policies(subscriptionId))
  const machines = useQuery(fleetQueries.machines(subscriptionId))
  const undecided = useQuery(jitWaiting(subscriptionId, session.person.id))
  return (
    <Page title={m.title} subtitle={m.subtitle}>
      {/* What waits stands above the machines, and whether one is guarded is in the policies: all comes at once. */}
      <Section query={policies} isWaiting={machines.isPending || undecided.isPending} skeleton="h-96">
        {(found) => (
          <>
            <Requests all={asked(found)} undecided={undecided.data} />
            <Machines policies={found} machines={machines} />
            <Past all={asked(found)} />
          </>
        )}
      </Section>
    </Page>
  )
}

/**
 * What waits for somebody, and what is open. Where it is not known which of them wait for this person, each may be tried: the
 * server decides.
 */
function Requests({ all, undecided }: { all: Asked[]; undecided: string[] | undefined }) {
  const { session } = useScope()
  const [deciding, setDeciding] = useState<Asked>()
  const [extending, setExtending] = useState<Asked>()
  const [ending, setEnding] = useState<{ item: Asked; verb: 'revoke' | 'cancel' }>()
  const waiting = all.filter(isWaiting)
  const open = all.filter(hasOpen)
  const mine = (item: Asked) => isTheirs(item, session.person.id)
  const mayDecide = ({ request }: Asked) => undecided?.includes(request.sekisho.id) ?? true
  return (
    <>
      {waiting.length > 0 && (
        <Card flush title={m.waiting}>
          <Table
            label={m.waiting}
            rows={waiting}
            rowId={(item) => item.request.sekisho.id}
            columns={[
              ...what,
              why,
              {
                ...actionsColumn,
                cell: (item) => {
                  if (mine(item))
                    return (
                      <Button size="sm" variant="ghost" onPress={() => setEnding({ item, verb: 'cancel' })}>
                        {m.takeBack}
                      </Button>
                    )
                  if (!mayDecide(item)) return <span className="text-xs text-ink-3">{m.othersDecide}</span>
                  return (
                    <Button size="sm" variant="primary" onPress={() => setDeciding(item)}>
                      {m.decide}…
                    </Button>
                  )
                },
              },
            ]}
          />
        </Card>
      )}
      {open.length > 0 && (
        <Card flush title={m.openNow}>
          <Table
            label={m.openNow}
            rows={open}
            rowId={(item) => item.request.sekisho.id}
            columns={[
              ...what,
              {
                id: 'left',
                header: m.left,
                cell: (item) => <Countdown iso={endOf(item) ?? ''} over={m.expired} />,
              },
              { id: 'state', header: m.status, cell: (item) => <StateBadge item={item} /> },
              {
                ...actionsColumn,
                cell: (item) => (
                  <span className="inline-flex gap-1.5">
                    <Button
                      size="sm"
                      variant="ghost"
                      onPress={() => setExtending(item)}
                      aria-label={`${m.more}: ${machinesText(item)} ${givesText(item.request)}`}
                    >
                      {m.more}…
                    </Button>
                    <Button
                      size="sm"
                      onPress={() => setEnding({ item, verb: 'revoke' })}
                      aria-label={`${m.revoke}: ${machinesText(item)} ${givesText(item.request)}`}
                    >
                      {m.revoke}
                    </Button>
                  </span>
                ),
              },
            ]}
          />
        </Card>
      )}
      {deciding && <DecideDialog item={deciding} onClose={() => setDeciding(undefined)} />}
      {extending && (
        <ExtendDialog
          item={extending}
          what={`${machinesText(extending)} ${givesText(extending.request)}`}
          onClose={() => setExtending(undefined)}
        />
      )}
      {ending && (
        <ReviewDialog
          title={`${ending.verb === 'revoke' ? m.revoke : m.takeBack}: ${machinesText(ending.item)}`}
          writes={[decide(ending.item.policy.id, ending.item.request, ending.verb, '')]}
          confirm={ending.verb === 'revoke' ? m.revoke : m.takeBack}
          done={ending.verb === 'revoke' ? m.revoked : m.takenBack}
          onDone={() => setEnding(undefined)}
          onClose={() => setEnding(undefined)}
        />
      )}
    </>
  )
}

function StateBadge({ item }: { item: Asked }) {
  const state = stateOf(item)
  return <Badge tone={stateTone[state]}>{stateText(state)}</Badge>
}

/** What may be asked for on a machine beside ports. */
const offersText = ({ policies }: Guarded) => {
  const offers = policies.map(offersOf)
  return [
    ...(offers.some(({ sudo }) => sudo) ? [m.sudo] : []),
    ...(offers.some(({ login }) => login) ? [m.login] : []),
    ...(offers.some(({ account }) => account) ? [m.account] : []),
  ]
}

const longestOf = ({ ports, policies }: Guarded) => [
  ...ports.map(({ longest }) => longest),
  ...policies
    .map(offersOf)
    .flatMap(({ sudo, account, login }) => [sudo ?? [], account ?? [], login ?? []].flat())
    .map(({ maxRequestAccessDuration }) => maxRequestAccessDuration),
]

const views = ['configured', 'open', 'unsupported'] as const
type View = (typeof views)[number]

/** Every machine: guarded, not guarded, or not to be guarded. */
function Machines({ policies, machines }: { policies: JitPolicy[]; machines: UseQueryResult<Machine[]> }) {
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const [asking, setAsking] = useState<Guarded>()
  const [guarding, setGuarding] = useState<Guarded>()
  const found = sorted(policies, machines.data ?? [])
  const view: View = views.find((id) => id === search.view) ?? 'configured'
  const texts = { configured: m.configured, open: m.notConfigured, unsupported: m.unsupported }
  const action = (row: Guarded) => (
    <span className="inline-flex gap-1.5">
      <Button size="sm" variant="ghost" onPress={() => setGuarding(row)} aria-label={`${m.guard}: ${row.name}`}>
        {m.guard}…
      </Button>
      {(row.ports.length > 0 || offersText(row).length > 0) && (
        <Button size="sm" variant="primary" onPress={() => setAsking(row)} aria-label={`${m.ask}: ${row.name}`}>
          {m.ask}
        </Button>
      )}
    </span>
  )
  return (
    <Card
      flush
      title={m.machines}
      actions={
        <Segments
          label={m.which}
          hideLabel
          value={view}
          onChange={(next) => void navigate({ search: (old) => ({ ...old, view: next }), replace: true })}
          options={views.map((id) => ({ id, label: texts[id](found[id].length) }))}
        />
      }
    >
      <Section query={machines}>
        {() =>
          found[view].length === 0 ? (
            <EmptyState icon={<DoorClosed size={20} aria-hidden />} title={m.none} />
          ) : (
            <Table
              label={m.machines}
              rows={found[view]}
              rowId={(row) => row.id}
              columns={[
                { id: 'machine', header: m.machine, cell: (row) => <span className="font-medium">{row.name}</span> },
                {
                  id: 'gives',
                  header: m.gives,
                  cell: (row) =>
                    view === 'unsupported' ? (
                      <span className="text-xs text-ink-2">{m.unknownMachine}</span>
                    ) : (
                      <span className="tnum">
                        {[
                          ...row.ports.map(({ number, protocol }) => m.port(number, protocol)),
                          ...offersText(row),
                        ].join(', ')}
                      </span>
                    ),
                },
                {
                  id: 'longest',
                  header: m.longest,
                  cell: (row) => [...new Set(longestOf(row).map((longest) => spanText(minutesOf(longest))))].join(', '),
                },
                {
                  ...actionsColumn,
                  cell: (row) => view !== 'unsupported' && action(row),
                },
              ]}
            />
          )
        }
      </Section>
      {asking && <AskDialog machine={asking} onClose={() => setAsking(undefined)} />}
      {guarding && <GuardDialog machine={guarding} policies={policies} onClose={() => setGuarding(undefined)} />}
    </Card>
  )
}

/** All requests, or those that nobody used, each with what happened to it. */
function Past({ all }: { all: Asked[] }) {
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const show = (request?: string) => void navigate({ search: (old) => ({ ...old, request }), replace: true })
  const shown = all.find((item) => item.request.sekisho.id === search.request)
  const [view, setView] = useState<'all' | 'unused'>('all')
  const unused = all.filter(isUnused)
  const rows = view === 'all' ? all : unused
  return (
    <Card
      flush
      title={m.requests}
      actions={
        <Segments
          label={m.whichRequests}
          hideLabel
          value={view}
          onChange={setView}
          options={[
            { id: 'all', label: m.allRequests(all.length) },
            { id: 'unused', label: m.unused(unused.length) },
          ]}
        />
      }
    >
      {rows.length === 0 && <EmptyState title={view === 'all' ? m.noRequests : m.noUnused} />}
      {rows.length > 0 && (
        <Table
          label={m.requests}
          rows={rows}
          rowId={(item) => item.request.sekisho.id}
          columns={[
            ...what,
            why,
            { id: 'asked', header: m.asked, cell: (item) => <When iso={item.request.startTimeUtc} /> },
            { id: 'state', header: m.status, cell: (item) => <StateBadge item={item} /> },
            { id: 'used', header: m.used, cell: (item) => <UsedText item={item} /> },
            {
              ...actionsColumn,
              cell: (item) => (
                <Button
                  size="sm"
                  variant="ghost"
                  onPress={() => show(item.request.sekisho.id)}
                  aria-label={`${m.timeline}: ${machinesText(item)} ${item.request.requestor}`}
                >
                  {m.timeline}
                </Button>
              ),
            },
          ]}
        />
      )}
      {shown && <TimelinePanel item={shown} onClose={() => show()} />}
    </Card>
  )
}

function UsedText({ item }: { item: Asked }) {
  const usage = usageOf(item)
  if (usage) return <span className="tnum">{m.carried(usage.connections, bytes(usage.bytes))}</span>
  return <span className="text-ink-3">{isUnused(item) ? m.neverUsed : ''}</span>
}
