import { Link2 } from 'lucide-react'
import type { ActivityEvent } from '../api/types.ts'
import { ago, dateTime } from '../app/format.ts'
import { messages } from '../app/i18n.ts'
import { nameOf, parseArmId } from '../domain/armId.ts'
import { Badge } from '../ui/Badge.tsx'
import { Table } from '../ui/Table.tsx'
import type { Tone } from '../ui/tone.ts'
import { operationText } from './operationText.ts'
import { ResourceLink } from './ResourceLink.tsx'
import { useCallerName } from './useCallerName.ts'

const m = messages({
  title: { en: 'Activity', ja: 'アクティビティ' },
  operation: { en: 'Operation', ja: '操作' },
  status: { en: 'Status', ja: '状態' },
  time: { en: 'Time', ja: '時刻' },
  caller: { en: 'Started by', ja: '実行者' },
  resource: { en: 'Resource', ja: 'リソース' },
  Succeeded: { en: 'Succeeded', ja: '成功' },
  Failed: { en: 'Failed', ja: '失敗' },
  Started: { en: 'Started', ja: '開始' },
})

const tones: Record<string, Tone> = { Succeeded: 'ok', Failed: 'crit', Started: 'info' }

export const eventStatusText = (status: string) =>
  status === 'Succeeded' || status === 'Failed' || status === 'Started' ? m[status] : status

type Props = { events: ActivityEvent[]; onOpen: (event: ActivityEvent) => void; withoutResource?: boolean }

export function ActivityTable({ events, onOpen, withoutResource = false }: Props) {
  const callerName = useCallerName()
  return (
    <Table
      label={m.title}
      rows={events}
      rowId={(event) => event.eventDataId}
      columns={[
        {
          id: 'operation',
          header: m.operation,
          cell: (event) => (
            <button
              type="button"
              onClick={() => onOpen(event)}
              className="rounded text-left font-medium hover:text-accent hover:underline"
            >
              {operationText(event.operationName.value)}
            </button>
          ),
        },
        {
          id: 'status',
          header: m.status,
          width: 'w-24',
          cell: (event) => (
            <Badge tone={tones[event.status.value] ?? 'low'}>{eventStatusText(event.status.value)}</Badge>
          ),
        },
        ...(withoutResource
          ? []
          : [
              {
                id: 'resource',
                header: m.resource,
                cell: (event: ActivityEvent) =>
                  parseArmId(event.resourceId) ? (
                    <ResourceLink id={event.resourceId} className="inline-flex items-center gap-1 break-all">
                      <Link2 size={12} className="shrink-0 text-ink-3" aria-hidden />
                      {nameOf(event.resourceId)}
                    </ResourceLink>
                  ) : (
                    <span className="text-ink-3">{event.resourceId || '–'}</span>
                  ),
              },
            ]),
        {
          id: 'caller',
          header: m.caller,
          cell: (event) => (
            <span className="break-all text-ink-2" title={event.caller}>
              {callerName(event)}
            </span>
          ),
        },
        {
          id: 'time',
          header: m.time,
          align: 'right',
          width: 'w-32',
          cell: (event) => (
            <time
              dateTime={event.eventTimestamp}
              title={dateTime(event.eventTimestamp)}
              className="tnum text-xs whitespace-nowrap text-ink-2"
            >
              {ago(event.eventTimestamp)}
            </time>
          ),
        },
      ]}
    />
  )
}
