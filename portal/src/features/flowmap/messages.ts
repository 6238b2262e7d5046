import { num, plural } from '../../app/format.ts'
import { messages } from '../../app/i18n.ts'

export const m = messages({
  title: { en: 'Flow map', ja: '通信マップ' },
  by: { en: 'Machines by', ja: 'マシンのまとめ方' },
  byAsg: { en: 'Application security group', ja: 'アプリケーション セキュリティ グループ' },
  bySubnet: { en: 'Subnet', ja: 'サブネット' },
  byNsg: { en: 'Security group', ja: 'セキュリティ グループ' },
  map: { en: 'Who talks with whom', ja: '通信の向き' },
  begins: { en: 'From', ja: '送信元' },
  ends: { en: 'To', ja: '宛先' },
  connections: { en: 'Connections', ja: '接続' },
  internet: { en: 'Internet', ja: 'インターネット' },
  private: { en: 'Other private addresses', ja: 'その他のプライベート アドレス' },
  ApplicationSecurityGroup: { en: 'Application security group', ja: 'アプリケーション セキュリティ グループ' },
  Subnet: { en: 'Subnet', ja: 'サブネット' },
  NetworkSecurityGroup: { en: 'Security group', ja: 'セキュリティ グループ' },
  ResourceGroup: { en: 'Resource group', ja: 'リソース グループ' },
  VirtualMachine: { en: 'Machine', ja: 'マシン' },
  ServiceTag: { en: 'Service tag', ja: 'サービス タグ' },
  PrivateAddresses: { en: 'No known machine', ja: '既知のマシンではありません' },
  Internet: { en: 'Addresses outside', ja: '外部のアドレス' },
  machines: { en: (count: number) => plural(count, 'machine', 'machines'), ja: (count: number) => `${num(count)} 台` },
  expand: { en: (name: string) => `Show the machines of ${name}`, ja: (name: string) => `${name} のマシンを表示` },
  expanded: { en: (name: string) => `Machines of ${name}`, ja: (name: string) => `${name} のマシン` },
  collapse: { en: 'Show the group again', ja: 'グループ表示に戻す' },
  edge: {
    en: (from: string, to: string, allowed: number, denied: number) =>
      `${from} to ${to}: ${plural(allowed, 'flow', 'flows')} allowed, ${plural(denied, 'packet', 'packets')} denied`,
    ja: (from: string, to: string, allowed: number, denied: number) =>
      `${from} から ${to}: 許可 ${num(allowed)} 件、拒否 ${num(denied)} パケット`,
  },
  show: { en: 'Show rules and flows', ja: '規則と通信を表示' },
  legendAllowed: { en: 'Allowed', ja: '許可' },
  legendDenied: { en: 'Denied (dashed)', ja: '拒否 (破線)' },
  other: {
    en: (count: number) => `${plural(count, 'connection', 'connections')} with less traffic are not drawn.`,
    ja: (count: number) => `通信の少ない接続 ${num(count)} 件は表示していません。`,
  },
  none: { en: 'No flows were recorded in this time.', ja: 'この期間の通信の記録はありません。' },
  noneWhy: {
    en: 'Flows are recorded where a flow log is on: see the tab Traffic of a machine.',
    ja: 'フロー ログが有効なところの通信が記録されます。マシンの [通信] タブを参照してください。',
  },
  byPort: { en: 'By port', ja: 'ポート別' },
  port: { en: 'Port', ja: 'ポート' },
})
