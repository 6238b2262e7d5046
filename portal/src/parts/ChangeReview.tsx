import { ArrowRight, CircleCheck, EyeOff, Minus, Plus, WifiOff } from 'lucide-react'
import { useState } from 'react'
import type { RuleEffect, ServiceTagSetChange } from '../api/types.ts'
import type { Preview, ResourceChange, Write } from '../api/writes.ts'
import { num, plural } from '../app/format.ts'
import { messages } from '../app/i18n.ts'
import { nameOf } from '../domain/armId.ts'
import { difference } from '../domain/diff.ts'
import { groupEffects } from '../domain/effects.ts'
import { Badge } from '../ui/Badge.tsx'
import { Button } from '../ui/Button.tsx'
import { cx } from '../ui/cx.ts'
import { AccessEffects } from './AccessEffects.tsx'
import { RightsEffects } from './RightsEffects.tsx'
import { TagSetChange } from './TagSetChange.tsx'
import { Traffic } from './Traffic.tsx'
import { anyText, directionText, protocolText } from './ruleText.ts'
import { accessText, accessTone } from './status.ts'
import { useIdNames } from './useIdNames.ts'

const m = messages({
  change: { en: 'Change', ja: '変更内容' },
  Create: { en: 'created', ja: '作成' },
  Modify: { en: 'changed', ja: '変更' },
  Delete: { en: 'deleted', ja: '削除' },
  NoChange: { en: 'unchanged', ja: '変更なし' },
  effect: { en: 'Effect on machines', ja: 'マシンへの影響' },
  none: { en: 'No machine gains or loses an effective rule.', ja: '有効な規則が変わるマシンはありません。' },
  same: {
    en: (count: number) => `${plural(count, 'machine', 'machines')}`,
    ja: (count: number) => `${num(count)} 台`,
  },
  added: { en: 'added', ja: '追加' },
  removed: { en: 'removed', ja: '削除' },
  offline: {
    en: (count: number) =>
      `${plural(count, 'machine is', 'machines are')} offline and will apply this after reconnecting.`,
    ja: (count: number) => `${num(count)} 台はオフラインのため、再接続後に適用されます。`,
  },
  others: {
    en: (count: number) => `${plural(count, 'machine', 'machines')} that you may not see would change, too.`,
    ja: (count: number) => `閲覧権限のない ${num(count)} 台のマシンも変わります。`,
  },
  more: { en: (count: number) => `and ${num(count)} more`, ja: (count: number) => `ほか ${num(count)} 台` },
  lines: { en: (count: number) => `${num(count)} more`, ja: (count: number) => `ほか ${num(count)} 件` },
  nothing: { en: 'Nothing would change.', ja: '変更はありません。' },
  follows: { en: 'After that', ja: 'その後の処理' },
  titled: {
    en: (kind: string, name: string) => `${kind}: ${name}`,
    ja: (kind: string, name: string) => `${kind}: ${name}`,
  },
  person: { en: 'Person', ja: 'ユーザー' },
  group: { en: 'Group', ja: 'グループ' },
  principal: { en: 'Service principal', ja: 'サービス プリンシパル' },
  application: { en: 'Application', ja: 'アプリケーション' },
  assignment: { en: 'Role assignment', ja: 'ロールの割り当て' },
  subnet: { en: 'subnet', ja: 'サブネット' },
  nic: { en: 'interface', ja: 'NIC' },
  manager: { en: 'network manager', ja: 'ネットワーク マネージャー' },
  auditOnly: { en: 'only counted', ja: '監査のみ' },
})

const shownMachines = 12
const shownLines = 10

/** What machines enforce depends on these. */
const concernsMachines = ({ operation }: Write) => /^(microsoft\.(network|compute)|sekisho\.network)\//i.test(operation)

const isTagSet = ({ resourceId }: ResourceChange) => /\/serviceTagSets\/[^/]+$/i.test(resourceId)
const tagSetChange = ({ after }: ResourceChange) =>
  (after as { properties?: { change?: ServiceTagSetChange } } | null)?.properties?.change

type Props = { preview: Preview; writes: readonly Write[]; follows: string[] }

export function ChangeReview({ preview, writes, follows }: Props) {
  const nameId = useIdNames(preview.changes)
  return (
    <div className="flex flex-col gap-5">
      <section aria-label={m.change} className="flex flex-col gap-2">
        <h3 className="text-xs font-medium text-ink-2">{m.change}</h3>
        {preview.changes.length === 0 && <p className="text-sm">{m.nothing}</p>}
        {preview.changes.map((change) => (
          <ResourceDiff key={change.resourceId} change={change} nameId={nameId} />
        ))}
      </section>
      {follows.length > 0 && (
        <section aria-label={m.follows} className="flex flex-col gap-2">
          <h3 className="text-xs font-medium text-ink-2">{m.follows}</h3>
          <ol className="list-decimal pl-5 text-sm">
            {follows.map((text) => (
              <li key={text}>{text}</li>
            ))}
          </ol>
        </section>
      )}
      <RightsEffects preview={preview} />
      <AccessEffects preview={preview} />
      {writes.some(concernsMachines) && <MachineEffects preview={preview} />}
    </div>
  )
}

function MachineEffects({ preview }: { preview: Preview }) {
  const groups = groupEffects(preview.machines)
  const offline = preview.machines.filter((machine) => !machine.online && machine.changes.length > 0).length
  return (
    <section aria-label={m.effect} className="flex flex-col gap-2">
      <h3 className="text-xs font-medium text-ink-2">{m.effect}</h3>
      {groups.length === 0 && preview.otherMachines === 0 && (
        <p className="flex items-center gap-2 text-sm">
          <CircleCheck size={15} className="text-ok" aria-hidden />
          {m.none}
        </p>
      )}
      {groups.map((group) => (
        <div key={group.machines[0]?.id} className="overflow-hidden rounded-lg border border-line">
          <div className="flex flex-wrap items-baseline gap-x-3 gap-y-1 border-b border-line bg-band px-3 py-2 text-sm">
            <span className="tnum font-semibold">{m.same(group.machines.length)}</span>
            <span className="min-w-0 text-xs text-ink-2">
              {group.machines
                .slice(0, shownMachines)
                .map((machine) => machine.name)
                .join(', ')}
              {group.machines.length > shownMachines && ` ${m.more(group.machines.length - shownMachines)}`}
            </span>
          </div>
          <ul>
            {group.effects.map((effect) => (
              <EffectLine key={JSON.stringify(effect)} effect={effect} />
            ))}
          </ul>
          <Traffic traffic={group.traffic} />
        </div>
      ))}
      {preview.otherMachines > 0 && (
        <p className="flex items-center gap-2 text-sm text-ink-2">
          <EyeOff size={15} className="text-med" aria-hidden />
          {m.others(preview.otherMachines)}
        </p>
      )}
      {offline > 0 && (
        <p className="flex items-center gap-2 text-sm text-ink-2">
          <WifiOff size={15} className="text-med" aria-hidden />
          {m.offline(offline)}
        </p>
      )}
    </section>
  )
}

function EffectLine({ effect }: { effect: RuleEffect }) {
  const { kind, direction, stage, rule } = effect
  const added = kind === 'added'
  const Sign = added ? Plus : Minus
  return (
    <li
      className={cx(
        'flex items-center gap-2.5 border-b border-line/60 px-3 py-1.5 text-xs last:border-0',
        added ? 'bg-ok-soft' : 'bg-crit-soft',
      )}
    >
      <Sign
        size={13}
        className={cx('shrink-0', added ? 'text-ok' : 'text-crit')}
        aria-label={added ? m.added : m.removed}
        role="img"
      />
      <span className="tnum w-10 shrink-0 font-mono">{rule.priority}</span>
      <span className="min-w-0 flex-1">
        <span className="font-medium">{rule.name}</span>
        <span className="ml-2 text-ink-2">
          {directionText[direction]} · {m[stage]}
        </span>
        <span className="block font-mono break-all text-ink-2">
          {anyText(rule.source)} <ArrowRight size={11} className="inline" aria-hidden /> {anyText(rule.destination)}:
          {anyText(rule.destinationPorts)} {protocolText(rule.protocol)}
        </span>
      </span>
      {rule.auditOnly && <Badge tone="med">{m.auditOnly}</Badge>}
      <Badge tone={accessTone[rule.access]}>{accessText[rule.access]}</Badge>
    </li>
  )
}

function ResourceDiff({ change, nameId }: { change: ResourceChange; nameId: (text: string) => string }) {
  const tags = isTagSet(change) ? tagSetChange(change) : undefined
  // What a version of service tags changes has a table of its own.
  const lines = difference(change.before, change.after).filter(
    ({ path }) => !tags || !path.startsWith('properties.change.'),
  )
  const [all, setAll] = useState(false)
  return (
    <div className="overflow-hidden rounded-lg border border-line">
      <div className="flex items-center justify-between gap-2 border-b border-line bg-band px-3 py-1.5 text-sm">
        <span className="truncate font-medium">{titleOf(change)}</span>
        <span className="text-xs text-ink-2">{m[change.changeType]}</span>
      </div>
      <table className="w-full table-fixed font-mono text-xs leading-5">
        <tbody>
          {lines.slice(0, all ? undefined : shownLines).map(({ path, before, after }) => (
            <tr key={path} className="align-top">
              <th scope="row" className="w-2/5 px-3 py-1 text-left font-normal break-all text-ink-2">
                {path.replace(/^properties\./, '')}
              </th>
              <td className="px-2 py-1 break-all">
                {before !== undefined && (
                  <del className="mr-2 rounded bg-crit-soft px-1 text-crit no-underline">{nameId(before)}</del>
                )}
                {after !== undefined && (
                  <ins className="rounded bg-ok-soft px-1 text-ok no-underline">{nameId(after)}</ins>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {!all && lines.length > shownLines && (
        <div className="px-1.5 py-1">
          <Button size="sm" variant="ghost" onPress={() => setAll(true)}>
            {m.lines(lines.length - shownLines)}
          </Button>
        </div>
      )}
      {tags && <TagSetChange change={tags} />}
    </div>
  )
}

/** What is in the directory is called by its name there: its id says nothing. */
function titleOf({ resourceId, before, after }: ResourceChange) {
  const name = [after, before].map((shown) => (shown as { displayName?: unknown } | null)?.displayName)
  const kind = Object.entries(kinds).find(([part]) => resourceId.toLowerCase().includes(part))
  const title = name.find((item) => typeof item === 'string' && item !== '') ?? nameOf(resourceId)
  if (!kind) return String(title)
  return isGuid(String(title)) ? m[kind[1]] : m.titled(m[kind[1]], String(title))
}

const isGuid = (text: string) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)

const kinds = {
  '/v1.0/users/': 'person',
  '/v1.0/groups/': 'group',
  '/v1.0/serviceprincipals/': 'principal',
  '/v1.0/applications/': 'application',
  '/roleassignments/': 'assignment',
} as const
