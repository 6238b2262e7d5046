import { Ellipsis } from 'lucide-react'
import { Button } from 'react-aria-components'
import type { BastionSession } from '../../api/queries/bastion.ts'
import { nameOf } from '../../domain/armId.ts'
import { desktopAddress, targetName, terminalAddress } from '../../domain/bastion.ts'
import { ResourceLink } from '../../parts/ResourceLink.tsx'
import { When } from '../../parts/When.tsx'
import { Badge } from '../../ui/Badge.tsx'
import { Menu } from '../../ui/Menu.tsx'
import { actionsColumn, Table } from '../../ui/Table.tsx'
import type { Doing } from './BastionSessionsPage.tsx'
import { s } from './messages.ts'

function look({ machine, host, sessionId, desktop }: BastionSession, mode: 'readOnly' | 'interactive') {
  const addressOf = desktop ? desktopAddress : terminalAddress
  open(addressOf({ machine, host, session: sessionId, mode }), '_blank', 'noopener')
}

export function LiveTable({ sessions, onDo }: { sessions: BastionSession[]; onDo: (doing: Doing) => void }) {
  const actions = (session: BastionSession) => {
    const action = (id: string, text: string, onAction: () => void, danger = false) => ({
      id,
      text,
      label: text,
      danger,
      onAction,
    })
    // A tunnel, a command and a copy have nothing to look at.
    const screen = [
      action('watch', s.watch, () => look(session, 'readOnly')),
      action('join', s.join, () => look(session, 'interactive')),
      action('message', s.message, () => onDo({ what: 'message', session })),
    ]
    return [
      ...(session.terminal || session.desktop ? screen : []),
      action('end', s.end, () => onDo({ what: 'end', session }), true),
    ]
  }
  return (
    <Table
      label={s.live}
      rows={sessions}
      rowId={(session) => session.sessionId}
      columns={[
        { id: 'person', header: s.person, cell: (session) => <span className="font-medium">{session.userName}</span> },
        { id: 'machine', header: s.machine, cell: (session) => <ResourceLink id={session.machine} /> },
        {
          id: 'account',
          header: s.account,
          cell: ({ account, protocol, desktop }) => (
            <span className="font-mono text-xs">
              {account && desktop ? `${account} (${protocol})` : account || protocol}
            </span>
          ),
        },
        { id: 'host', header: s.through, cell: (session) => nameOf(session.host) },
        {
          id: 'address',
          header: s.address,
          cell: (session) => <span className="font-mono text-xs">{session.address}</span>,
        },
        { id: 'since', header: s.since, cell: (session) => <When iso={session.since} /> },
        {
          id: 'recorded',
          header: s.recorded,
          cell: ({ recorded }) => <Badge tone={recorded === 'full' ? 'info' : 'low'}>{s[recorded]}</Badge>,
        },
        {
          ...actionsColumn,
          width: 'w-16',
          cell: (session) => (
            <Menu label={s.more(targetName(session))} actions={actions(session)}>
              <Button
                aria-label={s.more(targetName(session))}
                className="ml-auto grid size-7 place-items-center rounded-md text-ink-2 hover:bg-sunken"
              >
                <Ellipsis size={16} aria-hidden />
              </Button>
            </Menu>
          ),
        },
      ]}
    />
  )
}
