import { Ellipsis, Play } from 'lucide-react'
import { Button } from 'react-aria-components'
import type { Recording, RecordingDeed } from '../../api/queries/bastion.ts'
import { bytes } from '../../app/format.ts'
import { replayAddress, targetName } from '../../domain/bastion.ts'
import { plainText, shortened } from '../../domain/plainText.ts'
import { ResourceLink } from '../../parts/ResourceLink.tsx'
import { When } from '../../parts/When.tsx'
import { Badge } from '../../ui/Badge.tsx'
import { Menu } from '../../ui/Menu.tsx'
import { actionsColumn, Table } from '../../ui/Table.tsx'
import { s } from './messages.ts'

const tones = { open: 'info', closed: 'ok', interrupted: 'med', broken: 'crit' } as const
const shownMatches = 3

const minutes = ({ since, until }: Recording) =>
  Math.max(1, Math.round(((until ? Date.parse(until) : Date.now()) - Date.parse(since)) / 60_000))

function PlayLink({ recording, atMs, label }: { recording: Recording; atMs?: number; label?: string }) {
  const { machine, id } = recording
  return (
    <a
      href={replayAddress({ machine, recording: id, atMs })}
      target="_blank"
      rel="noopener"
      aria-label={label ? undefined : `${s.play}: ${targetName(recording)}`}
      className="inline-flex items-center gap-1 text-accent hover:underline"
    >
      {label ?? (
        <>
          <Play size={13} aria-hidden />
          {s.play}
        </>
      )}
    </a>
  )
}

type Props = {
  recordings: Recording[]
  isSearch: boolean
  onDo: (deed: RecordingDeed, recording: Recording) => void
}

export function RecordingTable({ recordings, isSearch, onDo }: Props) {
  const actions = (recording: Recording) => {
    const deed = (id: RecordingDeed, danger = false) => ({
      id,
      text: s[id],
      label: s[id],
      danger,
      onAction: () => onDo(id, recording),
    })
    if (recording.hold) return [deed('release')]
    return recording.state === 'open' ? [deed('hold')] : [deed('hold'), deed('delete', true)]
  }
  return (
    <Table
      label={s.recordings}
      rows={recordings}
      rowId={(recording) => recording.id}
      columns={[
        {
          id: 'person',
          header: s.person,
          cell: (recording) => <span className="font-medium">{recording.userName}</span>,
        },
        { id: 'machine', header: s.machine, cell: (recording) => <ResourceLink id={recording.machine} /> },
        {
          id: 'account',
          header: s.account,
          cell: (recording) => (
            <span className="font-mono text-xs">{plainText(recording.account) || recording.protocol}</span>
          ),
        },
        { id: 'since', header: s.since, cell: (recording) => <When iso={recording.since} /> },
        { id: 'lasted', header: s.lasted, cell: (recording) => s.minutes(minutes(recording)) },
        { id: 'size', header: s.size, align: 'right', cell: (recording) => bytes(recording.bytes) },
        {
          id: 'state',
          header: s.state,
          cell: ({ state, hold }) => (
            <span className="flex gap-1">
              <Badge tone={tones[state]}>{s[state]}</Badge>
              {hold && (
                <span title={s.heldBy(plainText(hold.by), plainText(hold.reason))}>
                  <Badge tone="med">{s.held}</Badge>
                </span>
              )}
            </span>
          ),
        },
        ...(isSearch
          ? [
              {
                id: 'matches',
                header: s.matches,
                cell: (recording: Recording) => (
                  <ul className="font-mono text-xs">
                    {recording.matches?.slice(0, shownMatches).map(({ at, text }) => (
                      <li key={`${at} ${text}`} className="max-w-md truncate">
                        <PlayLink recording={recording} atMs={at} label={plainText(shortened(text, 120))} />
                      </li>
                    ))}
                  </ul>
                ),
              },
            ]
          : []),
        {
          ...actionsColumn,
          cell: (recording) => (
            <span className="flex items-center justify-end gap-2">
              <PlayLink recording={recording} />
              <Menu label={s.more(targetName(recording))} actions={actions(recording)}>
                <Button
                  aria-label={s.more(targetName(recording))}
                  className="grid size-7 place-items-center rounded-md text-ink-2 hover:bg-sunken"
                >
                  <Ellipsis size={16} aria-hidden />
                </Button>
              </Menu>
            </span>
          ),
        },
      ]}
    />
  )
}
