import { useQuery } from '@tanstack/react-query'
import { Tags, Upload } from 'lucide-react'
import { type ReactNode, useRef, useState } from 'react'
import { importServiceTags, networkQueries } from '../../api/queries/network.ts'
import type { ServiceTagSet } from '../../api/types.ts'
import { num } from '../../app/format.ts'
import { messages } from '../../app/i18n.ts'
import { useScope } from '../../app/scope.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { TagSetChange } from '../../parts/TagSetChange.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Page } from '../../ui/Page.tsx'
import { PropertyList } from '../../ui/PropertyList.tsx'
import { SearchField } from '../../ui/SearchField.tsx'
import { Table } from '../../ui/Table.tsx'

const tm = messages({
  title: { en: 'Service tags', ja: 'サービス タグ' },
  subtitle: {
    en: 'Names for lists of addresses that rules can use: Azure’s own, and the subscription’s.',
    ja: '規則で使用できるアドレス一覧の名前です（Azure のタグとサブスクリプション独自のタグ）。',
  },
  import: { en: 'Import Azure’s file', ja: 'Azure のファイルをインポート' },
  file: { en: 'Service tag file (JSON)', ja: 'サービス タグのファイル (JSON)' },
  importTitle: { en: (name: string) => `Import ${name}`, ja: (name: string) => `${name} のインポート` },
  unreadable: {
    en: 'This is no service tag file: it is not JSON.',
    ja: 'サービス タグのファイルではありません（JSON として読み取れません）。',
  },
  version: { en: 'Azure’s list', ja: 'Azure の一覧' },
  none: { en: 'No list of Azure’s tags has been imported.', ja: 'Azure のタグ一覧はまだインポートされていません。' },
  noneWhy: {
    en: 'Microsoft publishes it every week as “Azure IP Ranges and Service Tags”.',
    ja: 'Microsoft が毎週「Azure IP Ranges and Service Tags」として公開しています。',
  },
  cloud: { en: 'Cloud', ja: 'クラウド' },
  changeNumber: { en: 'Version', ja: 'バージョン' },
  tags: { en: 'Tags', ja: 'タグ' },
  prefixes: { en: 'Prefixes', ja: 'プレフィックス' },
  last: { en: 'What this version changed', ja: 'このバージョンでの変更' },
  known: { en: 'Tags that rules can name', ja: '規則で使用できるタグ' },
  find: { en: 'Find a tag', ja: 'タグを検索' },
  name: { en: 'Name', ja: '名前' },
  region: { en: 'Region', ja: 'リージョン' },
  service: { en: 'Service', ja: 'サービス' },
  noMatch: { en: 'No tag matches.', ja: '一致するタグはありません。' },
  more: {
    en: (count: number) => `${num(count)} more; search to narrow them down.`,
    ja: (count: number) => `ほか ${num(count)} 件。検索で絞り込んでください。`,
  },
})

const shown = 100

/** The file is read here and sent as it is; what it changes is seen first. */
function Import() {
  const input = useRef<HTMLInputElement>(null)
  const [chosen, setChosen] = useState<{ name: string; content: unknown }>()
  const [unreadable, setUnreadable] = useState(false)
  const choose = async (file: File | undefined) => {
    if (!file) return
    try {
      setChosen({ name: file.name, content: JSON.parse(await file.text()) as unknown })
      setUnreadable(false)
    } catch {
      setUnreadable(true)
    }
    if (input.current) input.current.value = ''
  }
  return (
    <>
      {unreadable && (
        <span role="alert" className="text-xs text-crit">
          {tm.unreadable}
        </span>
      )}
      <input
        ref={input}
        type="file"
        accept="application/json,.json"
        aria-label={tm.file}
        className="sr-only"
        tabIndex={-1}
        onChange={(event) => void choose(event.target.files?.[0])}
      />
      <Button variant="primary" onPress={() => input.current?.click()}>
        <Upload size={14} aria-hidden />
        {tm.import}
      </Button>
      {chosen && (
        <ReviewDialog
          title={tm.importTitle(chosen.name)}
          writes={[importServiceTags(chosen.content)]}
          onClose={() => setChosen(undefined)}
          onDone={() => setChosen(undefined)}
        />
      )}
    </>
  )
}

function Version({ set: { properties } }: { set: ServiceTagSet }) {
  return (
    <>
      <PropertyList
        items={[
          [tm.cloud, properties.cloud],
          [tm.changeNumber, properties.changeNumber],
          [tm.tags, num(properties.tags)],
          [tm.prefixes, num(properties.prefixes)],
        ]}
      />
      <h3 className="mt-4 mb-2 text-xs font-medium text-ink-2">{tm.last}</h3>
      <div className="overflow-hidden rounded-lg border border-line">
        <TagSetChange change={properties.change} />
      </div>
    </>
  )
}

function Known() {
  const { subscriptionId } = useScope()
  const tags = useQuery(networkQueries.serviceTags(subscriptionId))
  const [query, setQuery] = useState('')
  return (
    <Card title={tm.known} flush>
      <Section query={tags}>
        {(all) => {
          const rows = all.filter(({ name }) => name.toLowerCase().includes(query.trim().toLowerCase()))
          return (
            <>
              <div className="border-y border-line px-3 py-2.5">
                <SearchField label={tm.find} value={query} onChange={setQuery} className="w-80" />
              </div>
              {rows.length === 0 ? (
                <EmptyState title={tm.noMatch} />
              ) : (
                <Table
                  label={tm.known}
                  rows={rows.slice(0, shown)}
                  rowId={({ name }) => name}
                  columns={[
                    { id: 'name', header: tm.name, cell: ({ name }) => name },
                    { id: 'region', header: tm.region, cell: ({ properties }) => properties.region },
                    { id: 'service', header: tm.service, cell: ({ properties }) => properties.systemService },
                  ]}
                />
              )}
              {rows.length > shown && <p className="px-3 py-2 text-xs text-ink-2">{tm.more(rows.length - shown)}</p>}
            </>
          )
        }}
      </Section>
    </Card>
  )
}

export function TagsPage({ tabs }: { tabs: ReactNode }) {
  const set = useQuery(networkQueries.serviceTagSet())
  return (
    <Page title={tm.title} subtitle={tm.subtitle} actions={<Import />} tabs={tabs}>
      <div className="flex flex-col gap-4">
        <Card title={tm.version}>
          <Section query={set}>
            {(known) =>
              known ? (
                <Version set={known} />
              ) : (
                <EmptyState icon={<Tags size={20} aria-hidden />} title={tm.none}>
                  {tm.noneWhy}
                </EmptyState>
              )
            }
          </Section>
        </Card>
        {/* Below what would push it down. */}
        {!set.isPending && <Known />}
      </div>
    </Page>
  )
}
