import { num } from '../app/format.ts'
import { messages } from '../app/i18n.ts'

export const directionText = messages({
  Inbound: { en: 'Inbound', ja: '受信' },
  Outbound: { en: 'Outbound', ja: '送信' },
})

export const ruleText = messages({
  priority: { en: 'Priority', ja: '優先度' },
  name: { en: 'Name', ja: '名前' },
  source: { en: 'Source', ja: 'ソース' },
  sourcePorts: { en: 'Source port ranges', ja: 'ソース ポート範囲' },
  destination: { en: 'Destination', ja: '宛先' },
  port: { en: 'Port', ja: 'ポート' },
  destinationPorts: { en: 'Destination port ranges', ja: '宛先ポート範囲' },
  protocol: { en: 'Protocol', ja: 'プロトコル' },
  action: { en: 'Action', ja: 'アクション' },
  description: { en: 'Description', ja: '説明' },
  any: { en: 'Any', ja: '任意' },
  more: { en: (count: number) => `and ${num(count)} more`, ja: (count: number) => `ほか ${num(count)} 件` },
  inboundRules: { en: 'Inbound security rules', ja: '受信セキュリティ規則' },
  outboundRules: { en: 'Outbound security rules', ja: '送信セキュリティ規則' },
})

export const protocolText = (protocol: string) =>
  protocol === '*' || protocol === 'All' ? ruleText.any : protocol.toUpperCase()

/** A service tag stands for thousands. */
const shown = 24

export const anyText = (values: string[]) => {
  if (values.length === 0 || values.includes('*')) return ruleText.any
  const rest = values.length - shown
  return rest > 0 ? `${values.slice(0, shown).join(', ')} ${ruleText.more(rest)}` : values.join(', ')
}
