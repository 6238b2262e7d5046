import { useQuery } from '@tanstack/react-query'
import { getRouteApi, useNavigate } from '@tanstack/react-router'
import { Link2, Settings, Trash2 } from 'lucide-react'
import { useState } from 'react'
import { networkQueries } from '../../api/queries/network.ts'
import type { SecurityGroup } from '../../api/types.ts'
import { resourceWrite } from '../../api/writes.ts'
import { nameOf } from '../../domain/armId.ts'
import { isAuditOnly } from '../../domain/rules.ts'
import { ActivitySection } from '../../parts/ActivitySection.tsx'
import { Breadcrumb } from '../../parts/Breadcrumb.tsx'
import { JsonCard } from '../../parts/JsonCard.tsx'
import { ResourceTabs } from '../../parts/ResourceTabs.tsx'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { Page } from '../../ui/Page.tsx'
import { AssociatePanel } from './AssociatePanel.tsx'
import { Attachments } from './Attachments.tsx'
import { m } from './messages.ts'
import { RulesCard } from './RulesCard.tsx'
import { AuditNote, SettingsPanel } from './SettingsPanel.tsx'

const tabIds = ['rules', 'attachments', 'activity', 'json'] as const
const route = getRouteApi('/shell/r/$')

type Props = { id: string; tab?: string; rule?: string }

export default function NsgPage({ id, tab = 'rules', rule }: Props) {
  const { rule: searchedRule } = route.useSearch()
  const group = useQuery(networkQueries.nsg(id))
  if (group.data) return <Nsg group={group.data} tab={tab} rule={rule ?? searchedRule} />
  return (
    <Page kicker={<Breadcrumb id={id} kind={m.kind} />} title={nameOf(id)}>
      <Section query={group}>{() => null}</Section>
    </Page>
  )
}

function Nsg({ group, tab, rule }: { group: SecurityGroup; tab: string; rule?: string }) {
  const navigate = useNavigate()
  const [open, setOpen] = useState<'associate' | 'settings' | 'delete'>()
  const { networkInterfaces = [], subnets = [] } = group.properties
  const close = () => setOpen(undefined)
  return (
    <Page
      kicker={<Breadcrumb id={group.id} kind={m.kind} />}
      title={group.name}
      subtitle={m.subtitle(networkInterfaces.length, subnets.length)}
      actions={
        <>
          <Button onPress={() => setOpen('settings')}>
            <Settings size={14} aria-hidden />
            {m.settings}
          </Button>
          <Button onPress={() => setOpen('delete')}>
            <Trash2 size={14} aria-hidden />
            {m.remove}
          </Button>
          <Button variant="primary" onPress={() => setOpen('associate')}>
            <Link2 size={14} aria-hidden />
            {m.attach}
          </Button>
        </>
      }
      tabs={<ResourceTabs id={group.id} current={tab} tabs={tabIds.map((item) => ({ id: item, label: m[item] }))} />}
    >
      {tab === 'attachments' && <Attachments group={group} />}
      {tab === 'activity' && (
        <Card flush>
          <ActivitySection filter={{ hours: 24 * 30, resourceId: group.id }} />
        </Card>
      )}
      {tab === 'json' && <JsonCard value={group} />}
      {!['attachments', 'activity', 'json'].includes(tab) && (
        <>
          {isAuditOnly(group) && <AuditNote group={group} />}
          <RulesCard group={group} direction="Inbound" highlight={rule} />
          <RulesCard group={group} direction="Outbound" highlight={rule} />
        </>
      )}
      {open === 'settings' && <SettingsPanel group={group} onClose={close} />}
      {open === 'associate' && <AssociatePanel group={group} onClose={close} />}
      {open === 'delete' && (
        <ReviewDialog
          title={m.removeTitle(group.name)}
          writes={[resourceWrite('DELETE', group.id, { etag: group.etag })]}
          onClose={close}
          onDone={() => void navigate({ to: '/nsg', search: {} })}
        />
      )}
    </Page>
  )
}
