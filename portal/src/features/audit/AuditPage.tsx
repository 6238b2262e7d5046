import { getRouteApi } from '@tanstack/react-router'
import { useState } from 'react'
import type { ActivityEvent } from '../../api/types.ts'
import { messages } from '../../app/i18n.ts'
import { useScope } from '../../app/scope.ts'
import { ActivitySection } from '../../parts/ActivitySection.tsx'
import { operationText } from '../../parts/operationText.ts'
import { useCallerName } from '../../parts/useCallerName.ts'
import { Card } from '../../ui/Card.tsx'
import { Page } from '../../ui/Page.tsx'
import { SearchField } from '../../ui/SearchField.tsx'
import { Segments } from '../../ui/Segments.tsx'
import { Select } from '../../ui/Select.tsx'
import { LogStanding } from './LogStanding.tsx'

const m = messages({
  title: { en: 'Activity log', ja: 'アクティビティ ログ' },
  subtitle: {
    en: 'Who did what, when and from where. Machines witness that nothing is rewritten.',
    ja: 'だれが、いつ、どこから、何をしたか。履歴が書き換えられていないことをマシンが証人として確認します。',
  },
  find: { en: 'Filter by operation, person, resource', ja: '操作・実行者・リソースで絞り込み' },
  time: { en: 'Time', ja: '期間' },
  hour: { en: 'Last hour', ja: '過去 1 時間' },
  day: { en: 'Last 24 hours', ja: '過去 24 時間' },
  week: { en: 'Last 7 days', ja: '過去 7 日間' },
  month: { en: 'Last 30 days', ja: '過去 30 日間' },
  status: { en: 'Status', ja: '状態' },
  all: { en: 'All', ja: 'すべて' },
  Succeeded: { en: 'Succeeded', ja: '成功' },
  Failed: { en: 'Failed', ja: '失敗' },
})

const route = getRouteApi('/shell/audit')

function keeps(query: string, status: string, callerName: (event: ActivityEvent) => string) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean)
  return (event: ActivityEvent) => {
    if (status !== 'all' && event.status.value !== status) return false
    const { operationName, caller, resourceId, correlationId, httpRequest } = event
    const text = [
      operationName.value,
      operationText(operationName.value),
      caller,
      callerName(event),
      resourceId,
      correlationId,
      httpRequest?.clientIpAddress,
    ]
    const haystack = text.join('\n').toLowerCase()
    return words.every((word) => haystack.includes(word))
  }
}

export default function AuditPage() {
  const { resourceGroup } = useScope()
  const callerName = useCallerName()
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const [query, setQuery] = useState(search.q ?? '')
  const set = (change: Partial<typeof search>) =>
    void navigate({ search: (old) => ({ ...old, ...change }), replace: true })
  const hours = search.hours ?? 24
  const status = search.status ?? 'all'
  const changeQuery = (text: string) => {
    setQuery(text)
    set({ q: text || undefined })
  }
  return (
    <Page title={m.title} subtitle={m.subtitle}>
      <Card flush>
        <LogStanding />
        <div className="flex flex-wrap items-center gap-2 border-b border-line px-3 py-2.5">
          <SearchField label={m.find} value={query} onChange={changeQuery} className="w-80" />
          <Select
            label={m.time}
            hideLabel
            className="w-44"
            value={String(hours)}
            onChange={(id) => set({ hours: Number(id) })}
            options={[
              { id: '1', label: m.hour },
              { id: '24', label: m.day },
              { id: '168', label: m.week },
              { id: '720', label: m.month },
            ]}
          />
          <Segments
            label={m.status}
            hideLabel
            value={status}
            onChange={(id) => set({ status: id === 'all' ? undefined : id })}
            options={[
              { id: 'all', label: m.all },
              { id: 'Succeeded', label: m.Succeeded },
              { id: 'Failed', label: m.Failed },
            ]}
          />
        </div>
        <ActivitySection filter={{ hours, resourceGroup }} keep={keeps(query, status, callerName)} />
      </Card>
    </Page>
  )
}
