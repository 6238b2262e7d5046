import { num, plural } from '../../app/format.ts'
import { messages } from '../../app/i18n.ts'

export const m = messages({
  title: { en: 'Overview', ja: '概要' },
  subtitle: {
    en: (all: number, online: number) => `${plural(all, 'machine', 'machines')}, ${num(online)} online`,
    ja: (all: number, online: number) => `マシン ${num(all)} 台・オンライン ${num(online)} 台`,
  },
  attention: { en: 'Needs attention', ja: '対応が必要' },
  silent: { en: 'silent or offline machines', ja: '応答のないマシン' },
  failed: {
    en: 'machines whose network rules failed or were rolled back',
    ja: 'ネットワーク規則の適用失敗・ロールバック',
  },
  pending: { en: 'machines waiting for new network rules', ja: 'ネットワーク規則の適用待ち' },
  unguarded: { en: 'machines without a security group', ja: 'セキュリティ グループのないマシン' },
  exposed: { en: 'rules open to the Internet on sensitive ports', ja: '重要なポートをインターネットに公開する規則' },
  tokens: {
    en: 'enrolment tokens expired or expiring within an hour',
    ja: '期限切れ、または 1 時間以内に期限切れの登録トークン',
  },
  waiting: { en: 'requests for access that wait for you', ja: 'あなたの承認を待つアクセス要求' },
  fine: { en: 'Nothing to do', ja: '問題なし' },
  exposureTitle: { en: 'Open to the Internet', ja: 'インターネットへの公開' },
  exposureNone: {
    en: 'No rule opens a sensitive port to the Internet.',
    ja: '重要なポートをインターネットに公開する規則はありません。',
  },
  rule: { en: 'Rule', ja: '規則' },
  group: { en: 'Security group', ja: 'セキュリティ グループ' },
  ports: { en: 'Ports', ja: 'ポート' },
  machines: { en: 'Machines', ja: 'マシン' },
  morePorts: { en: (n: number) => `and ${num(n)} more`, ja: (n: number) => `ほか ${num(n)}` },
  networkTitle: { en: 'Network rules to look at', ja: '確認が必要なネットワーク規則の適用' },
  networkNone: { en: 'Every machine applies the rules it should.', ja: 'すべてのマシンに規則が適用されています。' },
  machine: { en: 'Machine', ja: 'マシン' },
  state: { en: 'State', ja: '状態' },
  message: { en: 'Message', ja: 'メッセージ' },
  showAll: { en: 'Show all', ja: 'すべて表示' },
  recent: { en: 'Recent activity', ja: '最近のアクティビティ' },
  noMachines: { en: 'Connect the first machine', ja: '最初のマシンを接続しましょう' },
  noMachinesWhy: {
    en: 'Sekisho guards Linux machines through a small agent. Make an enrolment token and run one command on the machine.',
    ja: 'Sekisho は小さなエージェントを通じて Linux マシンを守ります。登録トークンを作成し、マシンでコマンドを 1 つ実行してください。',
  },
  connect: { en: 'Connect a machine', ja: 'マシンを接続' },
})
