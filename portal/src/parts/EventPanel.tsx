import type { ActivityEvent, PolicyChange } from '../api/types.ts'
import { dateTime } from '../app/format.ts'
import { messages } from '../app/i18n.ts'
import { parseArmId } from '../domain/armId.ts'
import { CodeBlock } from '../ui/CodeBlock.tsx'
import { PropertyList } from '../ui/PropertyList.tsx'
import { SidePanel } from '../ui/SidePanel.tsx'
import { eventStatusText } from './ActivityTable.tsx'
import { EntryProof } from './EntryProof.tsx'
import { operationText } from './operationText.ts'
import { ResourceLink } from './ResourceLink.tsx'
import { Traffic } from './Traffic.tsx'
import { useCallerName } from './useCallerName.ts'

const m = messages({
  time: { en: 'Time', ja: '時刻' },
  status: { en: 'Status', ja: '状態' },
  caller: { en: 'Started by', ja: '実行者' },
  from: { en: 'From', ja: '接続元' },
  action: { en: 'Action', ja: '操作名' },
  scope: { en: 'Scope', ja: 'スコープ' },
  role: { en: 'Role', ja: 'ロール' },
  resource: { en: 'Resource', ja: 'リソース' },
  correlation: { en: 'Correlation id', ja: '関連付け ID' },
  sequence: { en: 'Sequence', ja: '連番' },
  hash: { en: 'Hash', ja: 'ハッシュ' },
  proof: { en: 'Proof', ja: '証明' },
  breaks: { en: 'It broke an invariant that is only reported:', ja: '報告のみの不変条件に違反しました:' },
  json: { en: 'JSON', ja: 'JSON' },
  copy: { en: 'Copy', ja: 'コピー' },
})

/** What the write did to packets: Azure's clients take what an event says for texts. */
function changeOf({ properties }: ActivityEvent): PolicyChange | undefined {
  const kept = (properties as Record<string, unknown> | undefined)?.['packetFilter']
  try {
    return typeof kept === 'string' ? (JSON.parse(kept) as PolicyChange) : undefined
  } catch {
    return undefined
  }
}

const mono = (text: string | number) => <span className="font-mono text-xs break-all">{text}</span>

export default function EventPanel({ event, onClose }: { event: ActivityEvent; onClose: () => void }) {
  const callerName = useCallerName()(event)
  const { properties, authorization, httpRequest } = event
  const change = changeOf(event)
  const optional = (label: string, value: string | number | undefined): [string, React.ReactNode][] =>
    value === undefined || value === '' ? [] : [[label, mono(value)]]
  return (
    <SidePanel
      wide
      title={operationText(event.operationName.value)}
      subtitle={dateTime(event.eventTimestamp)}
      onClose={onClose}
    >
      <div className="flex flex-col gap-5">
        <PropertyList
          items={[
            [
              m.status,
              `${eventStatusText(event.status.value)}${properties?.statusCode ? ` (${properties.statusCode})` : ''}`,
            ],
            [m.caller, callerName === event.caller ? callerName : `${callerName} (${event.caller})`],
            ...optional(m.from, [httpRequest?.method, httpRequest?.clientIpAddress].filter(Boolean).join(' ')),
            [
              m.resource,
              parseArmId(event.resourceId) ? (
                <ResourceLink key="id" id={event.resourceId}>
                  {mono(event.resourceId)}
                </ResourceLink>
              ) : (
                mono(event.resourceId || '–')
              ),
            ],
            ...optional(m.action, authorization?.action ?? event.operationName.value),
            ...optional(m.scope, authorization?.scope),
            ...optional(m.role, authorization?.role),
            ...optional(m.correlation, event.correlationId),
            ...optional(m.sequence, properties?.sequence),
            ...optional(m.hash, properties?.hash),
            ...(properties?.sequence
              ? ([[m.proof, <EntryProof key="proof" event={event} sequence={properties.sequence} />]] satisfies [
                  string,
                  React.ReactNode,
                ][])
              : []),
          ]}
        />
        {change && <Traffic traffic={change.traffic} />}
        {change?.brokenInvariants?.map((id) => (
          <p key={id} className="text-sm text-crit">
            {m.breaks} <ResourceLink id={id} />
          </p>
        ))}
        <CodeBlock label={m.json} copyLabel={m.copy} code={JSON.stringify(event, null, 2)} />
      </div>
    </SidePanel>
  )
}
