import { num } from '../../app/format.ts'
import { messages } from '../../app/i18n.ts'

export const im = messages({
  title: { en: 'Network invariants', ja: 'ネットワークの不変条件' },
  subtitle: {
    en: 'What must always be so, whatever the rules are. A write that would break one is refused.',
    ja: '規則の内容にかかわらず常に成り立つべき条件です。違反する変更は拒否されます。',
  },
  create: { en: 'Create an invariant', ja: '不変条件を作成' },
  change: { en: 'Edit', ja: '編集' },
  edit: { en: (name: string) => `Edit ${name}`, ja: (name: string) => `${name} の編集` },
  remove: { en: (name: string) => `Delete ${name}`, ja: (name: string) => `${name} を削除` },
  empty: { en: 'No invariant yet.', ja: '不変条件はまだありません。' },
  emptyWhy: {
    en: 'For example: the Internet never reaches port 3389 of machines tagged env=prod.',
    ja: '例: インターネットから env=prod のマシンのポート 3389 へは決して到達できない。',
  },
  must: { en: 'These packets', ja: '対象のパケット' },
  mustDeny: { en: 'must never pass', ja: '決して通過しない' },
  mustAllow: { en: 'must always pass', ja: '常に通過する' },
  enforcement: { en: 'A write that would break it', ja: '違反する変更' },
  enforce: { en: 'is refused', ja: '拒否する' },
  report: { en: 'is only reported', ja: '報告のみ' },
  scope: { en: 'Scope', ja: 'スコープ' },
  wholeSubscription: { en: 'Whole subscription', ja: 'サブスクリプション全体' },
  state: { en: 'State', ja: '状態' },
  statement: { en: 'Statement', ja: '条件' },
  holds: { en: 'Holds', ja: '成立' },
  broken: { en: 'Broken', ja: '違反' },
  unknown: { en: 'Not known', ja: '判定不能' },
  machines: {
    en: (count: number) => `${num(count)} interfaces`,
    ja: (count: number) => `NIC ${num(count)} 個`,
  },
  machinesOf: {
    en: (tags: string) => (tags ? `machines ${tags}` : 'all machines'),
    ja: (tags: string) => (tags ? `マシン ${tags}` : 'すべてのマシン'),
  },
  byRule: {
    en: (rule: string, group: string) => `rule ${rule} of ${group}`,
    ja: (rule: string, group: string) => `${group} の規則 ${rule}`,
  },
  noRule: { en: 'no rule', ja: '一致する規則なし' },
  noGroup: { en: 'no security group', ja: 'セキュリティ グループなし' },
  noMachines: {
    en: 'Name machines by tag or ASG as the source or the destination.',
    ja: 'ソースまたは宛先に、タグまたは ASG でマシンを指定してください。',
  },
})
