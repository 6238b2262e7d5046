import { useState } from 'react'
import type { ServiceTagSetChange } from '../api/types.ts'
import { num, plural } from '../app/format.ts'
import { messages } from '../app/i18n.ts'
import { Badge } from '../ui/Badge.tsx'
import { Button } from '../ui/Button.tsx'
import type { Tone } from '../ui/tone.ts'

const m = messages({
  rules: { en: 'Rules that come to mean something else', ja: '意味が変わる規則' },
  noRules: { en: 'No rule names a tag that changes.', ja: '変更されるタグを参照する規則はありません。' },
  onMachines: {
    en: (count: number) => `in force on ${plural(count, 'machine', 'machines')}`,
    ja: (count: number) => `${num(count)} 台で有効`,
  },
  tags: { en: 'Tags', ja: 'タグ' },
  counts: {
    en: (added: number, modified: number, removed: number) =>
      `${num(added)} new, ${num(modified)} changed, ${num(removed)} gone`,
    ja: (added: number, modified: number, removed: number) =>
      `追加 ${num(added)}、変更 ${num(modified)}、削除 ${num(removed)}`,
  },
  Added: { en: 'new', ja: '追加' },
  Modified: { en: 'changed', ja: '変更' },
  Removed: { en: 'gone', ja: '削除' },
  more: { en: (count: number) => `${num(count)} more`, ja: (count: number) => `ほか ${num(count)} 件` },
  notAll: { en: 'Not all are listed.', ja: '一部のみ表示しています。' },
})

const tones: Record<ServiceTagSetChange['tags'][number]['change'], Tone> = {
  Added: 'ok',
  Modified: 'med',
  Removed: 'crit',
}
const shownTags = 20

type Tag = ServiceTagSetChange['tags'][number]

function Prefixes({ sign, count, prefixes, tone }: { sign: string; count: number; prefixes: string[]; tone: string }) {
  if (count === 0) return null
  const rest = count - prefixes.length
  return (
    <span className={`block font-mono break-all ${tone}`}>
      {sign}
      {num(count)} {prefixes.join(', ')} {prefixes.length > 0 && rest > 0 && m.more(rest)}
    </span>
  )
}

function TagLine({ tag }: { tag: Tag }) {
  return (
    <li className="flex items-start gap-2.5 border-b border-line/60 px-3 py-1.5 text-xs last:border-0">
      <span className="min-w-0 flex-1">
        <span className="font-medium">{tag.name}</span>
        <Prefixes sign="+" count={tag.added} prefixes={tag.addedPrefixes} tone="text-ok" />
        <Prefixes sign="−" count={tag.removed} prefixes={tag.removedPrefixes} tone="text-crit" />
      </span>
      <Badge tone={tones[tag.change]}>{m[tag.change]}</Badge>
    </li>
  )
}

/** What a version of Azure's service tags changes: for which rules, and tag by tag. */
export function TagSetChange({ change }: { change: ServiceTagSetChange }) {
  const [all, setAll] = useState(false)
  const tags = all ? change.tags : change.tags.slice(0, shownTags)
  const { added, modified, removed } = change
  return (
    <>
      <section aria-label={m.rules} className="border-t border-line px-3 py-2 text-xs">
        <h4 className="font-medium text-ink-2">{m.rules}</h4>
        {change.rules.length === 0 && <p>{m.noRules}</p>}
        <ul>
          {change.rules.map(({ id, tag, machines }) => (
            <li key={id + tag} className="break-all">
              {id.split('/').slice(8).join('/')} · {tag} · {m.onMachines(machines)}
            </li>
          ))}
        </ul>
        {!change.isAllRules && <p className="text-ink-2">{m.notAll}</p>}
      </section>
      <section aria-label={m.tags} className="border-t border-line">
        <h4 className="px-3 pt-2 text-xs font-medium text-ink-2">
          {m.tags}: {m.counts(added, modified, removed)}
        </h4>
        <ul>
          {tags.map((tag) => (
            <TagLine key={tag.name} tag={tag} />
          ))}
        </ul>
        {change.tags.length > tags.length && (
          <div className="px-1.5 py-1">
            <Button size="sm" variant="ghost" onPress={() => setAll(true)}>
              {m.more(change.tags.length - tags.length)}
            </Button>
          </div>
        )}
        {!change.isAll && <p className="px-3 pb-2 text-xs text-ink-2">{m.notAll}</p>}
      </section>
    </>
  )
}
