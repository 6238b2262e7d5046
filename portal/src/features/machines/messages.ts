import { num, plural } from '../../app/format.ts'
import { messages } from '../../app/i18n.ts'

export const m = messages({
  title: { en: 'Machines', ja: 'マシン' },
  shown: {
    en: (rows: number, all: number) =>
      rows === all ? plural(all, 'machine', 'machines') : `${num(rows)} of ${plural(all, 'machine', 'machines')}`,
    ja: (rows: number, all: number) => (rows === all ? `${num(all)} 台` : `${num(all)} 台中 ${num(rows)} 台を表示`),
  },
  filter: { en: 'Filter by name, address, OS, tag', ja: '名前・アドレス・OS・タグで絞り込み' },
  connect: { en: 'Connect a machine', ja: 'マシンを接続' },
  columns: { en: 'Columns', ja: '列' },
  name: { en: 'Name', ja: '名前' },
  status: { en: 'Status', ja: '状態' },
  network: { en: 'Network rules', ja: 'ネットワーク規則' },
  nsg: { en: 'Security group', ja: 'セキュリティ グループ' },
  addresses: { en: 'Addresses', ja: 'アドレス' },
  os: { en: 'OS', ja: 'OS' },
  kernel: { en: 'Kernel', ja: 'カーネル' },
  group: { en: 'Resource group', ja: 'リソース グループ' },
  location: { en: 'Location', ja: '場所' },
  cpus: { en: 'CPUs', ja: 'CPU 数' },
  memory: { en: 'Memory', ja: 'メモリ' },
  agent: { en: 'Agent', ja: 'エージェント' },
  tag: { en: 'Tag', ja: 'タグ' },
  tags: { en: 'Tags', ja: 'タグ' },
  seen: { en: 'Last report', ja: '最終報告' },
  never: { en: 'never', ja: 'なし' },
  none: { en: 'None', ja: 'なし' },
  not: { en: (text: string) => `Not ${text}`, ja: (text: string) => `${text} 以外` },
  include: { en: (text: string) => `Only ${text}`, ja: (text: string) => `${text} のみ` },
  exclude: { en: (text: string) => `Without ${text}`, ja: (text: string) => `${text} を除外` },
  excludeShort: { en: 'NOT', ja: '除外' },
  remove: { en: (text: string) => `Remove filter: ${text}`, ja: (text: string) => `フィルターを解除: ${text}` },
  find: { en: 'Find a value', ja: '値を検索' },
  clear: { en: 'Clear filters', ja: '絞り込みを解除' },
  noMatch: { en: 'No machine matches these filters.', ja: '条件に一致するマシンはありません。' },
  noMachines: { en: 'No machine is connected yet.', ja: '接続されたマシンはまだありません。' },
  noMachinesWhy: {
    en: 'Install the agent on a Linux machine and let it join with an enrolment token.',
    ja: 'Linux マシンにエージェントをインストールし、登録トークンで参加させてください。',
  },
})
