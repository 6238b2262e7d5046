import { useQuery } from '@tanstack/react-query'
import { Ellipsis, Plus } from 'lucide-react'
import { useState } from 'react'
import { Button as AriaButton } from 'react-aria-components'
import { deleteUser, directoryQueries, sayOfAccount, setUserEnabled } from '../../api/queries/directory.ts'
import type { RiskyUser, User } from '../../api/types.ts'
import { ago } from '../../app/format.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { Badge } from '../../ui/Badge.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Menu } from '../../ui/Menu.tsx'
import { SearchField } from '../../ui/SearchField.tsx'
import { actionsColumn, Table } from '../../ui/Table.tsx'
import { InvitePanel } from './InvitePanel.tsx'
import { m } from './messages.ts'
import { PassPanel } from './PassPanel.tsx'

type Kind = 'invite' | 'pass' | 'disable' | 'enable' | 'confirmCompromised' | 'dismiss' | 'remove'
type Doing = { kind: 'add' } | { kind: Kind; user: User }

export function PeopleTab() {
  const users = useQuery(directoryQueries.users())
  const risky = useQuery(directoryQueries.riskyUsers())
  const [query, setQuery] = useState('')
  const [doing, setDoing] = useState<Doing>()
  const close = () => setDoing(undefined)
  const needle = query.trim().toLowerCase()
  return (
    <Card flush>
      <div className="flex items-center justify-between gap-2 border-b border-line px-3 py-2.5">
        <SearchField label={m.find} value={query} onChange={setQuery} />
        <Button variant="primary" onPress={() => setDoing({ kind: 'add' })}>
          <Plus size={14} aria-hidden />
          {m.addPerson}
        </Button>
      </div>
      <Section query={users} isWaiting={risky.isLoading}>
        {(all) => {
          const rows = all.filter((user) =>
            `${user.displayName} ${user.userPrincipalName}`.toLowerCase().includes(needle),
          )
          return rows.length === 0 ? (
            <EmptyState title={m.noPeople} />
          ) : (
            <PeopleTable users={rows} risky={risky.data ?? []} onDo={setDoing} />
          )
        }}
      </Section>
      {doing?.kind === 'add' && <InvitePanel onClose={close} />}
      {doing?.kind === 'invite' && <InvitePanel user={doing.user} onClose={close} />}
      {doing?.kind === 'pass' && <PassPanel user={doing.user} onClose={close} />}
      {doing?.kind === 'enable' && (
        <ReviewDialog
          title={m.enableTitle(doing.user.displayName)}
          writes={[setUserEnabled(doing.user, true)]}
          confirm={m.enable}
          done={m.done}
          onDone={close}
          onClose={close}
        />
      )}
      {doing?.kind === 'disable' && (
        <ReviewDialog
          title={m.disableTitle(doing.user.displayName)}
          writes={[setUserEnabled(doing.user, false)]}
          confirm={m.disable}
          done={m.done}
          onDone={close}
          onClose={close}
        >
          <p className="text-sm">{m.disableWhy}</p>
        </ReviewDialog>
      )}
      {(doing?.kind === 'confirmCompromised' || doing?.kind === 'dismiss') && (
        <ReviewDialog
          title={m[`${doing.kind}Title`](doing.user.displayName)}
          writes={[sayOfAccount(doing.user, doing.kind)]}
          confirm={m[doing.kind]}
          done={m.done}
          onDone={close}
          onClose={close}
        >
          <p className="text-sm">{m[`${doing.kind}Why`]}</p>
        </ReviewDialog>
      )}
      {doing?.kind === 'remove' && (
        <ReviewDialog
          title={m.removeTitle(doing.user.displayName)}
          writes={[deleteUser(doing.user)]}
          confirm={m.remove}
          done={m.done}
          onDone={close}
          onClose={close}
        >
          <p className="text-sm">{m.removeWhy}</p>
        </ReviewDialog>
      )}
    </Card>
  )
}

function stateBadge({ accountEnabled, credentials }: User) {
  if (!accountEnabled) return <Badge tone="low">{m.disabled}</Badge>
  if (credentials && credentials.length === 0) return <Badge tone="med">{m.invited}</Badge>
  return <Badge tone="ok">{m.enabled}</Badge>
}

interface PeopleTableProps {
  users: User[]
  risky: RiskyUser[]
  onDo: (doing: Doing) => void
}

function PeopleTable({ users, risky, onDo }: PeopleTableProps) {
  const riskOf = (user: User) => risky.find(({ id }) => id === user.id)
  const actions = (user: User) => {
    const item = (kind: Kind) => ({
      id: kind,
      text: m[kind],
      label: m[kind],
      danger: kind === 'remove',
      onAction: () => onDo({ kind, user }),
    })
    const risk = riskOf(user) ? 'dismiss' : 'confirmCompromised'
    return [item('invite'), item('pass'), item(risk), item(user.accountEnabled ? 'disable' : 'enable'), item('remove')]
  }
  return (
    <Table
      label={m.people}
      rows={users}
      rowId={(user) => user.id}
      muted={(user) => !user.accountEnabled}
      columns={[
        { id: 'name', header: m.name, cell: (user) => <span className="font-medium">{user.displayName}</span> },
        { id: 'user', header: m.user, cell: (user) => <span className="text-ink-2">{user.userPrincipalName}</span> },
        {
          id: 'state',
          header: m.state,
          cell: (user) => {
            const risk = riskOf(user)
            return (
              <span className="flex flex-wrap gap-1">
                {stateBadge(user)}
                {risk && (
                  <Badge tone={risk.riskLevel === 'high' ? 'crit' : 'med'}>
                    {m.atRisk}: {m[risk['sekisho.because']]}
                  </Badge>
                )}
              </span>
            )
          },
        },
        {
          id: 'credentials',
          header: m.credentials,
          cell: (user) => user.credentials?.map((kind) => m[kind]).join(', '),
        },
        {
          id: 'seen',
          header: m.lastSignIn,
          align: 'right',
          cell: (user) => (
            <span className="tnum text-xs text-ink-2">
              {user.lastSignInDateTime ? ago(user.lastSignInDateTime) : m.never}
            </span>
          ),
        },
        {
          ...actionsColumn,
          width: 'w-16',
          cell: (user) => (
            <Menu label={m.more(user.displayName)} actions={actions(user)}>
              <AriaButton
                aria-label={m.more(user.displayName)}
                className="ml-auto grid size-7 place-items-center rounded-md text-ink-2 hover:bg-sunken"
              >
                <Ellipsis size={16} aria-hidden />
              </AriaButton>
            </Menu>
          ),
        },
      ]}
    />
  )
}
