import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { networkQueries } from '../api/queries/network.ts'
import type { Direction, EffectiveGroup, EffectiveRule } from '../api/types.ts'
import { messages } from '../app/i18n.ts'
import { nameOf } from '../domain/armId.ts'
import { listOf } from '../domain/rules.ts'
import { Badge } from '../ui/Badge.tsx'
import { Segments } from '../ui/Segments.tsx'
import { Table, type TableColumn } from '../ui/Table.tsx'
import { ResourceLink } from './ResourceLink.tsx'
import { anyText, directionText, protocolText, ruleText } from './ruleText.ts'
import { Section } from './Section.tsx'
import { accessText, accessTone } from './status.ts'

const m = messages({
  title: { en: 'Effective security rules', ja: '有効なセキュリティ規則' },
  direction: { en: 'Direction', ja: '方向' },
  viaSubnet: { en: (name: string) => `through subnet ${name}`, ja: (name: string) => `サブネット ${name} 経由` },
  viaNic: { en: 'on the interface', ja: 'NIC に関連付け' },
  viaManager: { en: 'network manager, above all groups', ja: 'ネットワーク マネージャー（すべてのグループより優先）' },
  platform: {
    en: (services: string) => `Whatever the rules say, the machine reaches services of Azure’s platform: ${services}.`,
    ja: (services: string) => `規則にかかわらず、Azure プラットフォームの次のサービスには到達できます: ${services}。`,
  },
  dns: { en: 'name resolution', ja: '名前解決' },
  metadata: { en: 'instance metadata', ja: 'インスタンス メタデータ' },
  licensing: { en: 'licences', ja: 'ライセンス認証' },
  host: { en: 'the host', ja: 'ホスト' },
  none: {
    en: 'No security group guards this interface: everything is let through.',
    ja: 'この NIC を保護するセキュリティ グループがないため、すべての通信が許可されます。',
  },
})

const shortName = (name: string) => nameOf(name)

const prefixes = (values: string[], expanded: string[] | undefined) => (
  <span className="font-mono text-xs break-all" title={expanded?.join('\n')}>
    {anyText(values)}
  </span>
)

const columns = (): TableColumn<EffectiveRule>[] => [
  {
    id: 'priority',
    header: ruleText.priority,
    width: 'w-20',
    cell: (rule) => <span className="tnum font-mono text-xs">{rule.priority}</span>,
  },
  { id: 'name', header: ruleText.name, cell: (rule) => <span className="font-medium">{shortName(rule.name)}</span> },
  {
    id: 'source',
    header: ruleText.source,
    cell: (rule) =>
      prefixes(listOf(rule.sourceAddressPrefix, rule.sourceAddressPrefixes), rule.expandedSourceAddressPrefix),
  },
  {
    id: 'destination',
    header: ruleText.destination,
    cell: (rule) =>
      prefixes(
        listOf(rule.destinationAddressPrefix, rule.destinationAddressPrefixes),
        rule.expandedDestinationAddressPrefix,
      ),
  },
  {
    id: 'port',
    header: ruleText.port,
    cell: (rule) =>
      prefixes(
        listOf(rule.destinationPortRange, rule.destinationPortRanges).map((port) => (port === '0-65535' ? '*' : port)),
        undefined,
      ),
  },
  {
    id: 'protocol',
    header: ruleText.protocol,
    cell: (rule) => <span className="text-xs">{protocolText(rule.protocol)}</span>,
  },
  {
    id: 'access',
    header: ruleText.action,
    cell: (rule) => <Badge tone={accessTone[rule.access]}>{accessText[rule.access]}</Badge>,
  },
]

export function EffectiveRules({ nicId }: { nicId: string }) {
  const query = useQuery(networkQueries.effectiveRules(nicId))
  const [direction, setDirection] = useState<Direction>('Inbound')
  return (
    <div className="border-t border-line">
      <div className="flex items-center justify-between gap-3 px-4 py-2.5">
        <h3 className="text-sm font-semibold">{m.title}</h3>
        <Segments
          label={m.direction}
          hideLabel
          value={direction}
          onChange={setDirection}
          options={[
            { id: 'Inbound', label: directionText.Inbound },
            { id: 'Outbound', label: directionText.Outbound },
          ]}
        />
      </div>
      <Section query={query}>
        {({ value: groups, platformExceptions }) => (
          <>
            {groups.length === 0 && <p className="px-4 pb-4 text-sm text-ink-2">{m.none}</p>}
            {groups.length > 0 && platformExceptions.length > 0 && (
              <p className="px-4 pb-2 text-xs text-ink-2">
                {m.platform(platformExceptions.map((service) => m[service]).join(', '))}
              </p>
            )}
            {groups.map((group) => (
              <EffectiveGroupTable key={JSON.stringify(group.association)} group={group} direction={direction} />
            ))}
          </>
        )}
      </Section>
    </div>
  )
}

function EffectiveGroupTable({ group, direction }: { group: EffectiveGroup; direction: Direction }) {
  const { subnet, networkManager } = group.association
  const owner = group.networkSecurityGroup ?? networkManager
  const place = networkManager ? m.viaManager : subnet ? m.viaSubnet(nameOf(subnet.id)) : m.viaNic
  const rules = group.effectiveSecurityRules
    .filter((rule) => rule.direction === direction)
    .toSorted((a, b) => a.priority - b.priority)
  return (
    <div className="border-t border-line/60">
      <p className="px-4 py-2 text-sm">
        {owner && <ResourceLink id={owner.id} />}
        <span className="ml-2 text-xs text-ink-2">{place}</span>
      </p>
      <Table
        label={`${m.title} ${nameOf(owner?.id ?? '')}`}
        rows={rules}
        columns={columns()}
        rowId={(rule) => rule.name}
        muted={(rule) => rule.priority >= 65_000}
      />
    </div>
  )
}
