import { useQuery } from '@tanstack/react-query'
import { logQueries } from '../api/queries/log.ts'
import type { ActivityEvent } from '../api/types.ts'
import { num } from '../app/format.ts'
import { messages } from '../app/i18n.ts'
import { useScope } from '../app/scope.ts'
import { verdict } from '../domain/logProof.ts'
import { Badge } from '../ui/Badge.tsx'

const m = messages({
  checking: { en: 'Checking…', ja: '検証中…' },
  proved: { en: 'Proved', ja: '証明済み' },
  pruned: { en: 'Hash proved', ja: 'ハッシュのみ証明済み' },
  wrong: { en: 'Not what is in the log', ja: 'ログの内容と不一致' },
  unknown: { en: 'No proof', ja: '証明なし' },
  provedWhy: {
    en: (size: string) => `Your browser has followed its hash up to the root of the log of ${size} entries.`,
    ja: (size: string) => `ブラウザーが、このエントリのハッシュから ${size} 件のログのルートまでを検証しました。`,
  },
  wrongWhy: {
    en: 'The hashes do not lead to the root that the log has signed. Keep a copy of this page as evidence.',
    ja: 'ハッシュをたどっても、ログが署名したルートになりません。証拠としてこのページを保存してください。',
  },
  witnessed: { en: 'Final: enough machines have seen it.', ja: '確定: 必要な数のマシンが確認済みです。' },
  waiting: { en: 'Not seen by enough machines yet.', ja: '必要な数のマシンの確認を待っています。' },
})

/** Whether an entry is in the log, as the browser itself finds out. */
export function EntryProof({ event, sequence }: { event: ActivityEvent; sequence: string }) {
  const { subscriptionId } = useScope()
  const standing = useQuery(logQueries.standing(subscriptionId))
  const proof = useQuery(logQueries.proof(subscriptionId, sequence))
  const shown = {
    hash: event.properties.hash,
    operation: event.operationName.value,
    resourceId: event.resourceId,
  }
  const own = proof.data?.properties
  const checked = useQuery({
    queryKey: ['proof', own?.leafHash, own?.size, shown],
    enabled: own !== undefined,
    queryFn: () => (own ? verdict(own, shown) : 'wrong'),
  })
  if (proof.error) return <Badge tone="low">{m.unknown}</Badge>
  if (!own || !checked.data) return <span className="text-ink-3">{m.checking}</span>
  const wrong = checked.data === 'wrong'
  const final = standing.data && Number(sequence) <= standing.data.properties.finalSize
  return (
    <>
      <Badge tone={wrong ? 'crit' : 'ok'}>{m[checked.data]}</Badge>
      <span className="block text-xs text-ink-3">{wrong ? m.wrongWhy : m.provedWhy(num(own.size))}</span>
      {!wrong && standing.data && <span className="block text-xs text-ink-3">{final ? m.witnessed : m.waiting}</span>}
    </>
  )
}
