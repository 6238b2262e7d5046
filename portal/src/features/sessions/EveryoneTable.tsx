import { Ellipsis } from 'lucide-react'
import { Button as AriaButton } from 'react-aria-components'
import type { LiveSession } from '../../api/types.ts'
import { When } from '../../parts/When.tsx'
import { Badge } from '../../ui/Badge.tsx'
import { Menu } from '../../ui/Menu.tsx'
import { actionsColumn, Table } from '../../ui/Table.tsx'
import { browserName } from './browserName.ts'
import type { Ending } from './EveryonePage.tsx'
import { m } from './everyoneMessages.ts'
import { m as own } from './messages.ts'

/** The client, or the browser in which the portal is open. */
export const throughWhat = ({ kind, clientName, userAgent }: LiveSession) =>
  kind === 'client' ? (clientName ?? m.unknownClient) : browserName(userAgent)

export function EveryoneTable({ sessions, onEnd }: { sessions: LiveSession[]; onEnd: (ending: Ending) => void }) {
  const actions = (session: LiveSession) =>
    (['one', 'all'] as const).map((what) => ({
      id: what,
      text: what === 'all' ? m.endAll : m.end,
      label: what === 'all' ? m.endAll : m.end,
      danger: true,
      onAction: () => onEnd({ what, session }),
    }))
  return (
    <Table
      label={m.title}
      rows={sessions}
      rowId={(session) => session.id}
      columns={[
        {
          id: 'person',
          header: m.person,
          cell: (session) => (
            <span className="flex flex-col">
              <span className="flex items-center gap-2 font-medium">
                {session.userDisplayName}
                {session.current && <Badge tone="accent">{own.this}</Badge>}
              </span>
              <span className="text-xs text-ink-2">{session.userPrincipalName}</span>
            </span>
          ),
        },
        {
          id: 'through',
          header: m.through,
          cell: (session) => <span title={session.userAgent}>{throughWhat(session)}</span>,
        },
        {
          id: 'address',
          header: own.address,
          cell: (session) => <span className="font-mono text-xs">{session.ipAddress}</span>,
        },
        {
          id: 'methods',
          header: own.methods,
          cell: (session) => session.methods.map((method) => own[method]).join(' + '),
        },
        { id: 'created', header: own.created, cell: (session) => <When iso={session.createdAt} /> },
        { id: 'seen', header: own.seen, cell: (session) => <When iso={session.lastSeenAt} /> },
        { id: 'expires', header: own.expires, cell: (session) => <When iso={session.expiresAt} /> },
        {
          ...actionsColumn,
          width: 'w-16',
          cell: (session) => (
            <Menu label={m.more(session.userDisplayName, throughWhat(session))} actions={actions(session)}>
              <AriaButton
                aria-label={m.more(session.userDisplayName, throughWhat(session))}
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
