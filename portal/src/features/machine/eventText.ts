import { num } from '../../app/format.ts'
import { messages } from '../../app/i18n.ts'
import type { Tone } from '../../ui/tone.ts'

export const t = messages({
  title: { en: 'Timeline', ja: 'タイムライン' },
  none: { en: 'Nothing happened in this time.', ja: 'この期間のイベントはありません。' },
  kind: { en: 'Kind', ja: '種類' },
  all: { en: 'All events', ja: 'すべてのイベント' },
  time: { en: 'Time', ja: '期間' },
  hour: { en: 'Last hour', ja: '過去 1 時間' },
  day: { en: 'Last 24 hours', ja: '過去 24 時間' },
  week: { en: 'Last 7 days', ja: '過去 7 日間' },
  quarter: { en: 'Last 90 days', ja: '過去 90 日間' },
})

const names = messages({
  'machine.joined': { en: 'Machine joined', ja: 'マシンが参加' },
  'machine.duplicate': { en: 'Two machines use one key', ja: '2 台のマシンが同じ鍵を使用' },
  'machine.rekeyed': { en: 'Key taken away', ja: '鍵を無効化' },
  'machine.rejoined': { en: 'Machine joined again', ja: 'マシンが再参加' },
  'machine.rolledBack': { en: 'Machine put back to an earlier state', ja: 'マシンが以前の状態に戻った' },
  'machine.formerKey': { en: 'A former key was shown', ja: '以前の鍵による接続' },
  'agent.started': { en: 'Agent started', ja: 'エージェントが起動' },
  'agent.connected': { en: 'Agent connected', ja: 'エージェントが接続' },
  'agent.disconnected': { en: 'Agent disconnected', ja: 'エージェントが切断' },
  'certificate.renewed': { en: 'Certificate renewed', ja: '証明書を更新' },
  'rules.applied': { en: 'Rules applied', ja: '規則を適用' },
  'rules.failed': { en: 'Rules failed', ja: '規則の適用に失敗' },
  'rules.reverted': { en: 'Rules reverted', ja: '規則を元に戻した' },
  'rules.repaired': { en: 'Rules repaired', ja: '規則を修復' },
  'audit.inconsistent': {
    en: 'Log was rewritten: obeys nothing new',
    ja: 'ログの書き換えを検出 (新しい指示に従わない)',
  },
  'audit.trusted': { en: 'Log trusted again', ja: 'ログを再び信用' },
  'key.succeeded': { en: 'Follows a new key of the server', ja: 'サーバーの新しい鍵に移行' },
  'access.used': { en: 'Open port used', ja: '開いたポートの使用' },
  'access.idle': { en: 'Unused port closed', ja: '未使用のポートを閉鎖' },
  'access.given': { en: 'Sudo or account given', ja: 'sudo またはアカウントを付与' },
  'access.refused': { en: 'Sudo or account refused', ja: 'sudo またはアカウントの付与を拒否' },
  'access.ended': { en: 'Sudo or account ended', ja: 'sudo またはアカウントが終了' },
  'facts.changed': { en: 'System changed', ja: 'システムの変更' },
  gap: { en: 'Events lost', ja: 'イベントの欠落' },
})

type Kind = keyof typeof names
export const eventKinds = Object.keys(names) as Kind[]
const isKind = (kind: string): kind is Kind => kind in names

/** A newer server may tell of what this page has no words for. */
export const eventName = (kind: string) => (isKind(kind) ? names[kind] : kind)

const tones: Partial<Record<Kind, Tone>> = {
  'machine.joined': 'ok',
  'machine.rejoined': 'ok',
  'machine.duplicate': 'crit',
  'machine.rolledBack': 'med',
  'machine.formerKey': 'high',
  'rules.applied': 'ok',
  'agent.disconnected': 'med',
  'rules.repaired': 'high',
  'rules.reverted': 'high',
  'rules.failed': 'crit',
  'audit.inconsistent': 'crit',
  'audit.trusted': 'high',
  gap: 'med',
}
export const eventTone = (kind: string): Tone => (isKind(kind) ? (tones[kind] ?? 'info') : 'low')

const d = messages({
  generation: { en: (n: string) => `Generation ${n}`, ja: (n: string) => `世代 ${n}` },
  version: { en: (v: string) => `Version ${v}`, ja: (v: string) => `バージョン ${v}` },
  from: { en: (address: string) => `From ${address}`, ja: (address: string) => `接続元: ${address}` },
  lost: {
    en: (n: string, why: string) => `${n} events were lost: ${why}`,
    ja: (n: string, why: string) => `${n} 件のイベントが失われました: ${why}`,
  },
  overflow: { en: 'the machine had no room for more', ja: 'マシンの保存領域が不足しました' },
  refused: { en: "the machine's disk took no more", ja: 'マシンのディスクに書き込めませんでした' },
  forgotten: { en: 'the server no longer has them', ja: 'サーバーに残っていません' },
  damaged: { en: "the machine's file was damaged", ja: 'マシン上のファイルが破損していました' },
  os: { en: 'Operating system', ja: 'オペレーティング システム' },
  kernel: { en: 'Kernel', ja: 'カーネル' },
  hostname: { en: 'Host name', ja: 'ホスト名' },
  boot: { en: 'The machine booted.', ja: 'マシンが起動しました。' },
  packages: { en: 'Packages', ja: 'パッケージ' },
  sockets: { en: 'Sockets', ja: 'ソケット' },
  users: { en: 'Users', ja: 'ユーザー' },
  interfaces: { en: 'Interfaces', ja: 'インターフェイス' },
  addresses: { en: 'Addresses', ja: 'アドレス' },
  added: { en: 'added', ja: '追加' },
  removed: { en: 'removed', ja: '削除' },
  upgraded: { en: 'upgraded', ja: '更新' },
  opened: { en: 'opened', ja: '開始' },
  closed: { en: 'closed', ja: '終了' },
  changed: { en: 'changed', ja: '変更' },
  omitted: { en: (n: string) => `${n} more`, ja: (n: string) => `ほか ${n} 件` },
  things: {
    en: (section: string, how: string, list: string) => `${section} ${how}: ${list}`,
    ja: (section: string, how: string, list: string) => `${section}の${how}: ${list}`,
  },
  turned: {
    en: (what: string, from: string, to: string) => `${what}: ${from} → ${to}`,
    ja: (what: string, from: string, to: string) => `${what}: ${from} → ${to}`,
  },
})

type Data = Record<string, unknown>
const isObject = (value: unknown): value is Data => typeof value === 'object' && value !== null
const text = (value: unknown) => (typeof value === 'string' ? value : '')
const number = (value: unknown) => (typeof value === 'number' ? num(value) : '')

const systems = ['os', 'kernel', 'hostname'] as const
const sections = ['packages', 'sockets', 'users', 'interfaces', 'addresses'] as const
const ways = ['added', 'removed', 'upgraded', 'opened', 'closed', 'changed'] as const

function thing([name, what]: [string, unknown]) {
  if (isObject(what)) return `${name} ${text(what.from) || '–'} → ${text(what.to) || '–'}`
  return [name, text(what)].filter(Boolean).join(' ')
}

function changes(data: Data) {
  const lines: string[] = []
  for (const system of systems) {
    const change = data[system]
    if (isObject(change)) lines.push(d.turned(d[system], text(change.from), text(change.to)))
  }
  if (isObject(data.boot)) lines.push(d.boot)
  for (const section of sections) {
    const found = data[section]
    if (!isObject(found)) continue
    for (const way of ways) {
      const list = found[way]
      if (isObject(list)) lines.push(d.things(d[section], d[way], Object.entries(list).map(thing).join(', ')))
    }
  }
  if (typeof data.omitted === 'number') lines.push(d.omitted(num(data.omitted)))
  return lines
}

/** The particulars of an event in words, one line each. What has no words here is not guessed at. */
export function eventDetails(kind: string, data: Data): string[] {
  const lines = () => {
    switch (kind) {
      case 'machine.joined':
      case 'machine.rejoined':
      case 'machine.formerKey':
        return [text(data.hostname), data.clientIpAddress ? d.from(text(data.clientIpAddress)) : '']
      case 'agent.started':
      case 'agent.connected':
        return [data.version ? d.version(text(data.version)) : '']
      case 'agent.disconnected':
      case 'audit.inconsistent':
        return [text(data.reason)]
      case 'key.succeeded':
        return [text(data.purpose)]
      case 'rules.applied':
      case 'rules.failed':
      case 'rules.reverted':
      case 'rules.repaired':
        return [d.generation(number(data.generation)), text(data.message)]
      case 'facts.changed':
        return changes(data)
      case 'machine.duplicate':
        return Array.isArray(data.sightings)
          ? data.sightings
              .filter(isObject)
              .map((seen) => [text(seen.hostname), text(seen.address)].filter(Boolean).join(', '))
          : []
      case 'gap': {
        const known = (['overflow', 'damaged', 'refused', 'forgotten'] as const).find((why) => why === data.reason)
        return [d.lost(number(data.lost), known ? d[known] : text(data.reason))]
      }
      default:
        return []
    }
  }
  return lines().filter(Boolean)
}
