import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { Form } from 'react-aria-components'
import { createResourceGroup, createToken, fleetQueries } from '../api/queries/fleet.ts'
import type { EnrolmentToken, ResourceGroup } from '../api/types.ts'
import type { Write } from '../api/writes.ts'
import { ago, num, plural } from '../app/format.ts'
import { messages } from '../app/i18n.ts'
import { useScope } from '../app/scope.ts'
import { useUnsaved } from '../app/unsaved.ts'
import { Button } from '../ui/Button.tsx'
import { CodeBlock } from '../ui/CodeBlock.tsx'
import { Select } from '../ui/Select.tsx'
import { SidePanel } from '../ui/SidePanel.tsx'
import { TextField } from '../ui/TextField.tsx'
import { ReviewDialog } from './ReviewDialog.tsx'

const m = messages({
  title: { en: 'Connect a machine', ja: 'マシンを接続' },
  why: {
    en: 'An enrolment token lets machines join this subscription.',
    ja: '登録トークンを使うと、マシンがこのサブスクリプションに参加できます。',
  },
  group: { en: 'Resource group', ja: 'リソース グループ' },
  newGroup: { en: 'New resource group', ja: '新しいリソース グループ' },
  location: { en: 'Location', ja: '場所' },
  name: { en: 'Name of the token', ja: 'トークンの名前' },
  nameBad: { en: 'Letters, digits and hyphens.', ja: '英数字とハイフンのみ使用できます。' },
  ttl: { en: 'Valid for', ja: '有効期間' },
  uses: { en: 'Machines', ja: 'マシンの台数' },
  usesBad: { en: 'A number from 1 to 10,000.', ja: '1 ～ 10,000 の数値を入力してください。' },
  tags: { en: 'Tags for these machines', ja: 'マシンに付けるタグ' },
  tagsHint: { en: 'name=value, separated by commas', ja: '名前=値 をコンマ区切りで' },
  tagsBad: { en: 'Each tag is name=value.', ja: 'タグは 名前=値 の形で入力してください。' },
  review: { en: 'Review the effect', ja: '影響を確認' },
  create: { en: 'Create the token', ja: 'トークンを作成' },
  allows: {
    en: (uses: number, time: string) => `${plural(uses, 'machine', 'machines')} may join with it within ${time}.`,
    ja: (uses: number, time: string) => `${time}以内に最大 ${num(uses)} 台のマシンが参加できます。`,
  },
  thenToken: {
    en: (name: string) => `The enrolment token ${name} is made in the new group.`,
    ja: (name: string) => `新しいグループに登録トークン ${name} を作成します。`,
  },
  cancel: { en: 'Cancel', ja: 'キャンセル' },
  done: { en: 'Done', ja: '完了' },
  install: { en: 'Run this on a machine without the agent', ja: 'エージェントのないマシンで実行' },
  installWhy: {
    en: 'It installs the agent that came with this server, whose key is named in the line, and joins.',
    ja: 'このサーバーに付属のエージェントを入れて参加します。サーバーの鍵は行の中に書かれています。',
  },
  run: { en: 'Where the agent is installed already', ja: 'エージェントが入っている場合' },
  runWhy: {
    en: 'The join string is read from standard input, so it does not appear in the process list.',
    ja: '参加文字列は標準入力から読み取られるため、プロセス一覧には表示されません。',
  },
  once: {
    en: 'The join string is shown only now. Treat it like a password.',
    ja: '参加文字列が表示されるのは今だけです。パスワードと同様に扱ってください。',
  },
  valid: {
    en: (when: string, uses: number) => `Expires ${when} · for ${plural(uses, 'machine', 'machines')}`,
    ja: (when: string, uses: number) => `有効期限: ${when}・最大 ${num(uses)} 台`,
  },
  copy: { en: 'Copy', ja: 'コピー' },
  h1: { en: '1 hour', ja: '1 時間' },
  h8: { en: '8 hours', ja: '8 時間' },
  h24: { en: '24 hours', ja: '24 時間' },
})

/** `undefined` when a pair is not `name=value`. */
function parseTags(text: string): Record<string, string> | undefined {
  const pairs = text
    .split(/[,、，]/)
    .map((pair) => pair.trim())
    .filter(Boolean)
  const entries = pairs.map((pair) => /^([^=\s]+)=(.*)$/.exec(pair)?.slice(1, 3))
  if (entries.some((entry) => entry === undefined)) return
  return Object.fromEntries(entries as [string, string][])
}

const newGroup = '+'
const newGroupName = 'rg-machines'
const newGroupLocation = 'japaneast'

/** A token in a group that is not there yet can only be tried once it is. */
type Review = { token: Write<EnrolmentToken> } | { group: Write<ResourceGroup> }

const freshName = () => `join-${new Date().toISOString().slice(0, 16).replaceAll(/[-:T]/g, '')}`

export function ConnectPanel({ onClose }: { onClose: () => void }) {
  const { subscriptionId, resourceGroup } = useScope()
  const { data: groups = [] } = useQuery(fleetQueries.resourceGroups(subscriptionId))
  const [chosenGroup, setGroup] = useState<string>()
  const [groupName, setGroupName] = useState(newGroupName)
  const [location, setLocation] = useState(newGroupLocation)
  const [initialName] = useState(freshName)
  const [name, setName] = useState(initialName)
  const [ttl, setTtl] = useState('3600')
  const [uses, setUses] = useState('1')
  const [tags, setTags] = useState('')
  const group = chosenGroup ?? resourceGroup ?? groups[0]?.name ?? newGroup
  const [review, setReview] = useState<Review>()
  const [made, setMade] = useState<EnrolmentToken>()
  const groupEdited = groupName !== newGroupName || location !== newGroupLocation
  const machineTags = parseTags(tags)
  const ttlText: Record<string, string> = { '3600': m.h1, '28800': m.h8, '86400': m.h24 }
  const usesBad = !/^\d+$/.test(uses) || Number(uses) < 1 || Number(uses) > 10_000
  const nameBad = !/^[A-Za-z0-9][A-Za-z0-9-]{0,62}$/.test(name)

  const isEdited =
    chosenGroup !== undefined || name !== initialName || ttl !== '3600' || uses !== '1' || tags !== '' || groupEdited
  const close = useUnsaved(isEdited && !made, onClose)
  if (made) return <JoinCommand token={made} onClose={onClose} />

  const tokenIn = (target: ResourceGroup) =>
    createToken({ group: target, name, ttlSeconds: Number(ttl), maxUses: Number(uses), machineTags: machineTags ?? {} })
  const submit = (event: React.FormEvent) => {
    event.preventDefault()
    if (usesBad || nameBad || !machineTags) return
    const known = groups.find((item) => item.name.toLowerCase() === group.toLowerCase())
    setReview(
      known
        ? { token: tokenIn(known) }
        : { group: createResourceGroup(subscriptionId, groupName.trim(), location.trim()) },
    )
  }
  return (
    <SidePanel title={m.title} subtitle={m.why} onClose={close}>
      <Form className="flex flex-col gap-4" onSubmit={submit}>
        <Select
          label={m.group}
          value={group}
          onChange={setGroup}
          options={[
            ...groups.map((item) => ({ id: item.name, label: item.name, detail: item.location })),
            { id: newGroup, label: m.newGroup },
          ]}
        />
        {group === newGroup && (
          <div className="grid grid-cols-2 gap-3">
            <TextField label={m.newGroup} value={groupName} onChange={setGroupName} isRequired mono />
            <TextField label={m.location} value={location} onChange={setLocation} isRequired mono />
          </div>
        )}
        <TextField
          label={m.name}
          value={name}
          onChange={setName}
          error={nameBad ? m.nameBad : undefined}
          isRequired
          mono
        />
        <div className="grid grid-cols-2 gap-3">
          <Select
            label={m.ttl}
            value={ttl}
            onChange={setTtl}
            options={Object.entries(ttlText).map(([id, label]) => ({ id, label }))}
          />
          <TextField
            label={m.uses}
            value={uses}
            onChange={setUses}
            inputMode="numeric"
            error={usesBad ? m.usesBad : undefined}
          />
        </div>
        <TextField
          label={m.tags}
          value={tags}
          onChange={setTags}
          hint={m.tagsHint}
          placeholder="env=prod, role=web"
          error={machineTags ? undefined : m.tagsBad}
          mono
        />
        <div className="flex justify-end gap-2">
          <Button onPress={close}>{m.cancel}</Button>
          <Button type="submit" variant="primary" isDisabled={usesBad || nameBad || !machineTags}>
            {m.review}
          </Button>
        </div>
      </Form>
      {review && (
        <ReviewDialog
          title={m.title}
          writes={['token' in review ? review.token : review.group]}
          follows={'token' in review ? [] : [m.thenToken(name)]}
          run={async (send) => send('token' in review ? review.token : tokenIn(await send(review.group)))}
          confirm={m.create}
          onClose={() => setReview(undefined)}
          onDone={setMade}
        >
          <p className="text-sm">{m.allows(Number(uses), ttlText[ttl] ?? '')}</p>
        </ReviewDialog>
      )}
    </SidePanel>
  )
}

function JoinCommand({ token, onClose }: { token: EnrolmentToken; onClose: () => void }) {
  const { joinString = '', installCommand = '', expiresAt, maxUses } = token.properties
  return (
    <SidePanel
      title={m.title}
      subtitle={m.valid(ago(expiresAt), maxUses)}
      onClose={onClose}
      footer={
        <Button variant="primary" onPress={onClose}>
          {m.done}
        </Button>
      }
    >
      <div className="flex flex-col gap-3">
        <p className="text-sm font-medium">{m.install}</p>
        <CodeBlock label={m.install} copyLabel={m.copy} code={installCommand} />
        <p className="text-xs text-ink-2">{m.installWhy}</p>
        <p className="text-sm font-medium">{m.run}</p>
        <CodeBlock label={m.run} copyLabel={m.copy} code={`sudo sekisho-agent join <<'EOF'\n${joinString}\nEOF`} />
        <p className="text-xs text-ink-2">{m.runWhy}</p>
        <p className="rounded-lg bg-med-soft px-3 py-2 text-sm text-ink">{m.once}</p>
      </div>
    </SidePanel>
  )
}
