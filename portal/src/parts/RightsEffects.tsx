import { EyeOff, Minus, Plus } from 'lucide-react'
import { useState } from 'react'
import type { Preview, RightsChange } from '../api/writes.ts'
import { num, plural } from '../app/format.ts'
import { messages } from '../app/i18n.ts'
import { Badge } from '../ui/Badge.tsx'
import { Button } from '../ui/Button.tsx'
import { cx } from '../ui/cx.ts'

const m = messages({
  rights: { en: 'Effect on rights', ja: '権限への影響' },
  gains: { en: 'gains', ja: '得る権限' },
  loses: { en: 'loses', ja: '失う権限' },
  ifActivated: { en: 'once activated', ja: '有効化した場合' },
  here: { en: 'only there', ja: 'そのスコープのみ' },
  below: { en: 'only below', ja: '配下のみ' },
  root: { en: 'Root (/)', ja: 'ルート (/)' },
  operations: { en: (n: number) => plural(n, 'operation', 'operations'), ja: (n: number) => `${num(n)} 件の操作` },
  more: { en: (n: number) => `and ${num(n)} more`, ja: (n: number) => `ほか ${num(n)} 名` },
  all: { en: (n: number) => `Show all ${num(n)}`, ja: (n: number) => `${num(n)} 件すべてを表示` },
  others: {
    en: (n: number) => `${plural(n, 'change', 'changes')} of rights that you may not see.`,
    ja: (n: number) => `閲覧権限のない権限の変更が ${num(n)} 件あります。`,
  },
})

const shownNames = 6
const shownOperations = 6

/** Exactly what people could do that they cannot do now, and the other way round. */
export function RightsEffects({ preview: { rights, otherRights } }: { preview: Preview }) {
  if (rights.length === 0 && otherRights === 0) return null
  return (
    <section aria-label={m.rights} className="flex flex-col gap-2">
      <h3 className="text-xs font-medium text-ink-2">{m.rights}</h3>
      {rights.map((row) => (
        <RightsRow
          key={JSON.stringify([row.gained, row.ifActivated, row.scope, row.reach, row.principals])}
          row={row}
        />
      ))}
      {otherRights > 0 && (
        <p className="flex items-center gap-2 text-sm text-ink-2">
          <EyeOff size={15} className="text-med" aria-hidden />
          {m.others(otherRights)}
        </p>
      )}
    </section>
  )
}

function RightsRow({ row }: { row: RightsChange }) {
  const [all, setAll] = useState(false)
  const { gained, ifActivated, scope, reach, operations, principals, otherPrincipals } = row
  const unnamed = otherPrincipals + Math.max(0, principals.length - shownNames)
  const Sign = gained ? Plus : Minus
  return (
    <div className="overflow-hidden rounded-lg border border-line">
      <div
        className={cx(
          'flex flex-wrap items-center gap-x-2 gap-y-1 border-b border-line px-3 py-1.5 text-sm',
          gained ? 'bg-ok-soft' : 'bg-crit-soft',
        )}
      >
        <Sign size={13} className={cx('shrink-0', gained ? 'text-ok' : 'text-crit')} aria-hidden />
        <span className="font-medium">
          {principals
            .slice(0, shownNames)
            .map((principal) => principal.name)
            .join(', ')}
          {unnamed > 0 && ` ${m.more(unnamed)}`}
        </span>
        <span className="text-xs text-ink-2">{gained ? m.gains : m.loses}</span>
        <span className="text-xs text-ink-2">{m.operations(operations.length)}</span>
        {ifActivated && <Badge tone="info">{m.ifActivated}</Badge>}
        <span className="ml-auto truncate font-mono text-2xs text-ink-2" title={scope}>
          {scope === '/' ? m.root : scope} {reach === 'here' && m.here} {reach === 'below' && m.below}
        </span>
      </div>
      <ul className="px-3 py-1.5 font-mono text-xs leading-5 break-all">
        {operations.slice(0, all ? undefined : shownOperations).map((operation) => (
          <li key={operation}>{operation}</li>
        ))}
      </ul>
      {!all && operations.length > shownOperations && (
        <div className="px-1.5 pb-1">
          <Button size="sm" variant="ghost" onPress={() => setAll(true)}>
            {m.all(operations.length)}
          </Button>
        </div>
      )}
    </div>
  )
}
