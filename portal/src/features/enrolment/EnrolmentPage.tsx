import { useQuery } from '@tanstack/react-query'
import { Plus, Ticket } from 'lucide-react'
import { useState } from 'react'
import { fleetQueries } from '../../api/queries/fleet.ts'
import type { EnrolmentToken } from '../../api/types.ts'
import { resourceWrite } from '../../api/writes.ts'
import { ago, dateTime, num } from '../../app/format.ts'
import { messages } from '../../app/i18n.ts'
import { inGroup, useScope } from '../../app/scope.ts'
import { parseArmId } from '../../domain/armId.ts'
import { ConnectPanel } from '../../parts/ConnectPanel.tsx'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { Badge } from '../../ui/Badge.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Page } from '../../ui/Page.tsx'
import { actionsColumn, Table } from '../../ui/Table.tsx'
import type { Tone } from '../../ui/tone.ts'

const m = messages({
  title: { en: 'Enrolment tokens', ja: '登録トークン' },
  subtitle: {
    en: 'A token lets a limited number of machines join within a limited time.',
    ja: 'トークンは、限られた時間内に限られた台数のマシンを参加させます。',
  },
  create: { en: 'Connect a machine', ja: 'マシンを接続' },
  empty: { en: 'No enrolment token.', ja: '登録トークンはありません。' },
  emptyWhy: { en: 'Make one when you connect a machine.', ja: 'マシンを接続するときに作成してください。' },
  name: { en: 'Name', ja: '名前' },
  group: { en: 'Resource group', ja: 'リソース グループ' },
  state: { en: 'State', ja: '状態' },
  uses: { en: 'Uses', ja: '使用回数' },
  expires: { en: 'Expires', ja: '有効期限' },
  tags: { en: 'Tags', ja: 'タグ' },
  active: { en: 'Active', ja: '有効' },
  expired: { en: 'Expired', ja: '期限切れ' },
  used: { en: 'Used up', ja: '使用済み' },
  revoke: { en: 'Revoke', ja: '取り消す' },
  revokeTitle: { en: (name: string) => `Revoke ${name}?`, ja: (name: string) => `${name} を取り消しますか?` },
  revokeWhy: {
    en: 'No further machine can join with it. Machines that have joined stay.',
    ja: 'このトークンでは参加できなくなります。参加済みのマシンには影響しません。',
  },
  revoked: { en: (name: string) => `${name} was revoked.`, ja: (name: string) => `${name} を取り消しました。` },
})

type State = 'active' | 'expired' | 'used'
const tones: Record<State, Tone> = { active: 'ok', expired: 'low', used: 'low' }

function stateOf({ properties: { expiresAt, uses, maxUses } }: EnrolmentToken, nowMs: number): State {
  if (uses >= maxUses) return 'used'
  return Date.parse(expiresAt) < nowMs ? 'expired' : 'active'
}

export default function EnrolmentPage() {
  const { subscriptionId, resourceGroup } = useScope()
  const tokens = useQuery(fleetQueries.tokens(subscriptionId))
  const [connect, setConnect] = useState(false)
  const [revoking, setRevoking] = useState<EnrolmentToken>()
  const create = (
    <Button variant="primary" onPress={() => setConnect(true)}>
      <Plus size={14} aria-hidden />
      {m.create}
    </Button>
  )
  return (
    <Page title={m.title} subtitle={m.subtitle} actions={create}>
      <Card flush>
        <Section query={tokens}>
          {(all) => {
            const rows = all.filter((token) => inGroup(resourceGroup, parseArmId(token.id)?.resourceGroup))
            if (rows.length === 0) {
              return (
                <EmptyState icon={<Ticket size={20} aria-hidden />} title={m.empty}>
                  {m.emptyWhy}
                </EmptyState>
              )
            }
            return <TokenTable tokens={rows} readAtMs={tokens.dataUpdatedAt} onRevoke={setRevoking} />
          }}
        </Section>
      </Card>
      {connect && <ConnectPanel onClose={() => setConnect(false)} />}
      {revoking && (
        <ReviewDialog
          title={m.revokeTitle(revoking.name)}
          writes={[resourceWrite('DELETE', revoking.id)]}
          confirm={m.revoke}
          done={m.revoked(revoking.name)}
          onDone={() => setRevoking(undefined)}
          onClose={() => setRevoking(undefined)}
        >
          <p className="text-sm">{m.revokeWhy}</p>
        </ReviewDialog>
      )}
    </Page>
  )
}

type Props = { tokens: EnrolmentToken[]; readAtMs: number; onRevoke: (token: EnrolmentToken) => void }

function TokenTable({ tokens, readAtMs, onRevoke }: Props) {
  return (
    <Table
      label={m.title}
      rows={tokens}
      rowId={(token) => token.id}
      muted={(token) => stateOf(token, readAtMs) !== 'active'}
      columns={[
        { id: 'name', header: m.name, cell: (token) => <span className="font-mono text-xs">{token.name}</span> },
        { id: 'group', header: m.group, cell: (token) => parseArmId(token.id)?.resourceGroup },
        {
          id: 'state',
          header: m.state,
          cell: (token) => {
            const state = stateOf(token, readAtMs)
            return <Badge tone={tones[state]}>{m[state]}</Badge>
          },
        },
        {
          id: 'uses',
          header: m.uses,
          align: 'right',
          cell: (token) => (
            <span className="tnum">
              {num(token.properties.uses)} / {num(token.properties.maxUses)}
            </span>
          ),
        },
        {
          id: 'tags',
          header: m.tags,
          cell: (token) => (
            <span className="text-xs">
              {Object.entries(token.properties.machineTags ?? {})
                .map((pair) => pair.join('='))
                .join(', ')}
            </span>
          ),
        },
        {
          id: 'expires',
          header: m.expires,
          align: 'right',
          cell: (token) => (
            <time
              dateTime={token.properties.expiresAt}
              title={dateTime(token.properties.expiresAt)}
              className="tnum text-xs"
            >
              {ago(token.properties.expiresAt, readAtMs)}
            </time>
          ),
        },
        {
          ...actionsColumn,
          cell: (token) => (
            <Button size="sm" variant="ghost" onPress={() => onRevoke(token)} aria-label={`${m.revoke} ${token.name}`}>
              {m.revoke}
            </Button>
          ),
        },
      ]}
    />
  )
}
