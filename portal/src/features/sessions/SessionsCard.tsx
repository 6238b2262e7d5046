import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { authQueries, revokeOtherSessions, revokeSession } from '../../api/queries/auth.ts'
import type { SessionRow } from '../../api/types.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { When } from '../../parts/When.tsx'
import { Badge } from '../../ui/Badge.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { actionsColumn, Table } from '../../ui/Table.tsx'
import { browserName } from './browserName.ts'
import { m } from './messages.ts'

export function SessionsCard() {
  const sessions = useQuery(authQueries.sessions())
  const [ending, setEnding] = useState<SessionRow | 'others'>()
  const close = () => setEnding(undefined)
  return (
    <Card
      flush
      title={m.sessions}
      actions={
        (sessions.data?.length ?? 0) > 1 && (
          <Button size="sm" onPress={() => setEnding('others')}>
            {m.revokeOthers}
          </Button>
        )
      }
    >
      <Section query={sessions}>{(rows) => <SessionTable sessions={rows} onEnd={setEnding} />}</Section>
      {ending && (
        <ReviewDialog
          title={ending === 'others' ? m.revokeOthers : browserName(ending.userAgent)}
          writes={[ending === 'others' ? revokeOtherSessions() : revokeSession(ending)]}
          confirm={m.revoke}
          done={m.revoked}
          onDone={close}
          onClose={close}
        >
          <p className="text-sm">{ending === 'others' ? m.revokeOthersWhy : ending.ipAddress}</p>
        </ReviewDialog>
      )}
    </Card>
  )
}

function SessionTable({ sessions, onEnd }: { sessions: SessionRow[]; onEnd: (session: SessionRow) => void }) {
  return (
    <Table
      label={m.sessions}
      rows={sessions}
      rowId={(session) => session.id}
      columns={[
        {
          id: 'browser',
          header: m.browser,
          cell: (session) => (
            <span className="flex items-center gap-2" title={session.userAgent}>
              <span className="font-medium">{browserName(session.userAgent)}</span>
              {session.current && <Badge tone="accent">{m.this}</Badge>}
            </span>
          ),
        },
        {
          id: 'address',
          header: m.address,
          cell: (session) => <span className="font-mono text-xs">{session.ipAddress}</span>,
        },
        { id: 'methods', header: m.methods, cell: (session) => session.methods.map((method) => m[method]).join(' + ') },
        { id: 'created', header: m.created, cell: (session) => <When iso={session.createdAt} /> },
        { id: 'seen', header: m.seen, cell: (session) => <When iso={session.lastSeenAt} /> },
        { id: 'expires', header: m.expires, cell: (session) => <When iso={session.absoluteExpiresAt} /> },
        {
          ...actionsColumn,
          cell: (session) =>
            !session.current && (
              <Button
                size="sm"
                variant="ghost"
                onPress={() => onEnd(session)}
                aria-label={`${m.revoke}: ${browserName(session.userAgent)}`}
              >
                {m.revoke}
              </Button>
            ),
        },
      ]}
    />
  )
}
