import { useQuery } from '@tanstack/react-query'
import { Layers } from 'lucide-react'
import type { ReactNode } from 'react'
import { networkQueries } from '../../api/queries/network.ts'
import type { ActiveAdminRule, NetworkManager } from '../../api/types.ts'
import { messages } from '../../app/i18n.ts'
import { useScope } from '../../app/scope.ts'
import { nameOf } from '../../domain/armId.ts'
import { ResourceLink } from '../../parts/ResourceLink.tsx'
import { anyText, directionText, protocolText, ruleText } from '../../parts/ruleText.ts'
import { Section } from '../../parts/Section.tsx'
import { accessText, accessTone } from '../../parts/status.ts'
import { Badge } from '../../ui/Badge.tsx'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Page } from '../../ui/Page.tsx'
import { Table } from '../../ui/Table.tsx'

const mm = messages({
  title: { en: 'Network managers', ja: 'ネットワーク マネージャー' },
  subtitle: {
    en: 'Rules that stand above the security groups of every network that a manager governs, once they are committed.',
    ja: 'マネージャーが管理するすべてのネットワークで、セキュリティ グループより優先される規則です（コミット後に有効）。',
  },
  empty: { en: 'No network manager yet.', ja: 'ネットワーク マネージャーはまだありません。' },
  emptyWhy: {
    en: 'az network manager create makes one; so do Terraform and Azure’s SDKs.',
    ja: 'az network manager create、Terraform、Azure SDK で作成できます。',
  },
  none: { en: 'No rule is in force.', ja: '有効な規則はありません。' },
  groups: { en: 'Network groups', ja: 'ネットワーク グループ' },
  region: { en: 'Location', ja: '場所' },
})

const inOrder = (a: ActiveAdminRule, b: ActiveAdminRule) =>
  a.region.localeCompare(b.region) ||
  a.properties.direction.localeCompare(b.properties.direction) ||
  a.properties.priority - b.properties.priority

const addresses = (items: ActiveAdminRule['properties']['sources']) =>
  anyText((items ?? []).map(({ addressPrefix }) => addressPrefix))

function Manager({ manager }: { manager: NetworkManager }) {
  const rules = useQuery(networkQueries.activeAdminRules(manager.id))
  return (
    <Card title={<ResourceLink id={manager.id} />} flush>
      <Section query={rules}>
        {(all) =>
          all.length === 0 ? (
            <p className="px-4 pb-4 text-sm text-ink-2">{mm.none}</p>
          ) : (
            <Table
              label={manager.name}
              rows={all.toSorted(inOrder)}
              rowId={({ id, region }) => region + id}
              columns={[
                {
                  id: 'priority',
                  header: ruleText.priority,
                  cell: ({ properties }) => <span className="tnum font-mono text-xs">{properties.priority}</span>,
                },
                {
                  id: 'name',
                  header: ruleText.name,
                  cell: ({ name, properties }) => `${name} · ${directionText[properties.direction]}`,
                },
                { id: 'region', header: mm.region, cell: ({ region }) => region },
                {
                  id: 'groups',
                  header: mm.groups,
                  cell: (rule) =>
                    rule.ruleCollectionAppliesToGroups.map(({ networkGroupId }) => nameOf(networkGroupId)).join(', '),
                },
                { id: 'source', header: ruleText.source, cell: ({ properties }) => addresses(properties.sources) },
                {
                  id: 'destination',
                  header: ruleText.destination,
                  cell: ({ properties }) =>
                    `${addresses(properties.destinations)}:${anyText(properties.destinationPortRanges ?? [])}`,
                },
                {
                  id: 'protocol',
                  header: ruleText.protocol,
                  cell: ({ properties }) =>
                    properties.protocol === 'Any' ? ruleText.any : protocolText(properties.protocol),
                },
                {
                  id: 'access',
                  header: ruleText.action,
                  cell: ({ properties: { access } }) => <Badge tone={accessTone[access]}>{accessText[access]}</Badge>,
                },
              ]}
            />
          )
        }
      </Section>
    </Card>
  )
}

/** The security-admin rules that are in force, by manager. */
export function ManagersPage({ tabs }: { tabs: ReactNode }) {
  const { subscriptionId } = useScope()
  const managers = useQuery(networkQueries.networkManagers(subscriptionId))
  return (
    <Page title={mm.title} subtitle={mm.subtitle} tabs={tabs}>
      <Section query={managers} skeleton="h-96">
        {(all) =>
          all.length === 0 ? (
            <Card>
              <EmptyState icon={<Layers size={20} aria-hidden />} title={mm.empty}>
                {mm.emptyWhy}
              </EmptyState>
            </Card>
          ) : (
            <div className="flex flex-col gap-4">
              {all.map((manager) => (
                <Manager key={manager.id} manager={manager} />
              ))}
            </div>
          )
        }
      </Section>
    </Page>
  )
}
