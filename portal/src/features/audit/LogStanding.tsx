import { useQuery } from '@tanstack/react-query'
import { logQueries } from '../../api/queries/log.ts'
import type { ActivityLog } from '../../api/types.ts'
import { num } from '../../app/format.ts'
import { messages } from '../../app/i18n.ts'
import { useScope } from '../../app/scope.ts'
import { Dot } from '../../ui/Dot.tsx'
import type { Tone } from '../../ui/tone.ts'

const m = messages({
  witnessed: {
    en: (by: string, of: string, upto: string) => `Witnessed by ${by} of ${of} machines up to entry ${upto}.`,
    ja: (by: string, of: string, upto: string) =>
      `${of} 台中 ${by} 台のマシンが、エントリ ${upto} までを証人として確認済みです。`,
  },
  size: {
    en: (size: string) => `The log has ${size} entries.`,
    ja: (size: string) => `ログのエントリは ${size} 件です。`,
  },
  unwitnessed: {
    en: 'Unwitnessed: only this server knows what the log was. Machines witness it once they have joined.',
    ja: '証人なし: ログの内容を知るのはこのサーバーだけです。マシンが参加すると証人になります。',
  },
  waiting: {
    en: (needed: string) => `Not witnessed yet: ${needed} machines must have seen an entry.`,
    ja: (needed: string) => `まだ証人がいません: エントリの確定には ${needed} 台のマシンの確認が必要です。`,
  },
  distrusted: {
    en: (count: string) =>
      `Machines that do not believe this log and obey nothing new: ${count}. They have seen another history than this one.`,
    ja: (count: string) =>
      `このログを信用せず、新しい指示に従わないマシン: ${count} 台。これらのマシンは、これとは異なる履歴を確認しています。`,
  },
  begins: {
    en: (first: string) => `Contents are kept from entry ${first} on; of older entries only the hash is.`,
    ja: (first: string) => `内容はエントリ ${first} 以降を保持しています。それより古いエントリはハッシュのみです。`,
  },
})

function said(log: ActivityLog['properties']): [Tone, string] {
  if (log.machines === 0) return ['low', m.unwitnessed]
  if (log.finalSize === 0) return ['med', m.waiting(num(log.quorum))]
  return ['ok', m.witnessed(num(log.witnessedBy), num(log.machines), num(log.finalSize))]
}

/** How far others than the server can tell what the log was. */
export function LogStanding() {
  const { subscriptionId } = useScope()
  const { data } = useQuery(logQueries.standing(subscriptionId))
  const log = data?.properties
  const [tone, text] = log ? said(log) : (['low', ''] satisfies [Tone, string])
  return (
    <div className="flex min-h-9 flex-col justify-center gap-1 border-b border-line px-4 py-2 text-xs text-ink-2">
      {log && (
        <>
          {log.distrustedBy > 0 && (
            <p role="alert" className="flex items-center gap-2 font-medium text-crit">
              <Dot tone="crit" />
              {m.distrusted(num(log.distrustedBy))}
            </p>
          )}
          <p className="tnum flex flex-wrap items-center gap-2">
            <Dot tone={tone} />
            <span>{text}</span>
            <span>{m.size(num(log.size))}</span>
            {log.begins > 1 && <span>{m.begins(num(log.begins))}</span>}
          </p>
        </>
      )}
    </div>
  )
}
