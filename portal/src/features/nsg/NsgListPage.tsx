import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { Globe, Plus, Shield } from 'lucide-react'
import { useState } from 'react'
import { networkQueries } from '../../api/queries/network.ts'
import type { SecurityGroup } from '../../api/types.ts'
import { resourceWrite } from '../../api/writes.ts'
import { num } from '../../app/format.ts'
import { inGroup, useScope } from '../../app/scope.ts'
import { parseArmId } from '../../domain/armId.ts'
import { exposures } from '../../domain/exposure.ts'
import { isAuditOnly } from '../../domain/rules.ts'
import { LinkTabs } from '../../parts/LinkTabs.tsx'
import { ResourceLink } from '../../parts/ResourceLink.tsx'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { tabClass } from '../../parts/tabClass.ts'
import { Badge } from '../../ui/Badge.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Page } from '../../ui/Page.tsx'
import { SearchField } from '../../ui/SearchField.tsx'
import { actionsColumn, Table } from '../../ui/Table.tsx'
import { CreateNsgPanel } from './CreateNsgPanel.tsx'
import { InvariantsPage } from './InvariantsPage.tsx'
import { ManagersPage } from './ManagersPage.tsx'
import { m } from './messages.ts'
import { TagsPage } from './TagsPage.tsx'

const route = getRouteApi('/shell/nsg')

export default function NsgListPage() {
  const { tab } = route.useSearch()
  if (tab === 'invariants') return <InvariantsPage tabs={<Tabs current="invariants" />} />
  if (tab === 'managers') return <ManagersPage tabs={<Tabs current="managers" />} />
  return tab === 'tags' ? <TagsPage tabs={<Tabs current="tags" />} /> : <Groups />
}

type Tab = 'groups' | 'invariants' | 'tags' | 'managers'

function Tabs({ current }: { current: Tab }) {
  const link = (id: Tab, tab?: string) => (
    <Link
      to="/nsg"
      search={{ tab }}
      aria-current={current === id ? 'page' : undefined}
      className={tabClass(current === id)}
    >
      {m[id]}
    </Link>
  )
  return (
    <LinkTabs>
      {link('groups')}
      {link('invariants', 'invariants')}
      {link('tags', 'tags')}
      {link('managers', 'managers')}
    </LinkTabs>
  )
}

function Groups() {
  const { subscriptionId, resourceGroup } = useScope()
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const groups = useQuery(networkQueries.nsgs(subscriptionId))
  const [query, setQuery] = useState(search.q ?? '')
  const set = (change: Partial<typeof search>) =>
    void navigate({ search: (old) => ({ ...old, ...change }), replace: true })
  const create = (
    <Button variant="primary" onPress={() => set({ create: true })}>
      <Plus size={14} aria-hidden />
      {m.create}
    </Button>
  )
  const changeQuery = (text: string) => {
    setQuery(text)
    set({ q: text || undefined })
  }
  return (
    <Page
      title={m.title}
      subtitle={groups.data && m.count(groups.data.length)}
      actions={create}
      tabs={<Tabs current="groups" />}
    >
      <Card flush>
        <Section query={groups} skeleton="h-96">
          {(all) => {
            const scoped = all.filter((group) => inGroup(resourceGroup, parseArmId(group.id)?.resourceGroup))
            const rows = scoped.filter((group) => group.id.toLowerCase().includes(query.trim().toLowerCase()))
            if (scoped.length === 0) {
              return (
                <EmptyState icon={<Shield size={20} aria-hidden />} title={m.empty} action={create}>
                  {m.emptyWhy}
                </EmptyState>
              )
            }
            return (
              <>
                <div className="border-b border-line px-3 py-2.5">
                  <SearchField label={m.find} value={query} onChange={changeQuery} className="w-80" />
                </div>
                {rows.length === 0 ? <EmptyState title={m.noMatch} /> : <NsgTable groups={rows} />}
              </>
            )
          }}
        </Section>
      </Card>
      {search.create && <CreateNsgPanel onClose={() => set({ create: undefined })} />}
    </Page>
  )
}

function NsgTable({ groups }: { groups: SecurityGroup[] }) {
  const [removing, setRemoving] = useState<SecurityGroup>()
  return (
    <>
      <Table
        label={m.title}
        rows={groups}
        rowId={(group) => group.id}
        columns={[
          {
            id: 'name',
            header: m.name,
            cell: (group) => (
              <span className="flex items-center gap-2">
                <Shield size={14} className="shrink-0 text-ink-3" aria-hidden />
                <ResourceLink id={group.id} />
                {isAuditOnly(group) && <Badge tone="med">{m.auditOnly}</Badge>}
              </span>
            ),
          },
          {
            id: 'group',
            header: m.group,
            cell: (group) => <span className="text-ink-2">{parseArmId(group.id)?.resourceGroup}</span>,
          },
          { id: 'location', header: m.location, cell: (group) => <span className="text-ink-2">{group.location}</span> },
          {
            id: 'rules',
            header: m.rulesColumn,
            align: 'right',
            cell: (group) => <span className="tnum">{num(group.properties.securityRules?.length ?? 0)}</span>,
          },
          {
            id: 'nics',
            header: m.nicsColumn,
            align: 'right',
            cell: (group) => <span className="tnum">{num(group.properties.networkInterfaces?.length ?? 0)}</span>,
          },
          {
            id: 'subnets',
            header: m.subnetsColumn,
            align: 'right',
            cell: (group) => <span className="tnum">{num(group.properties.subnets?.length ?? 0)}</span>,
          },
          {
            id: 'exposure',
            header: m.exposure,
            cell: (group) => {
              const ports = [...new Set(exposures(group).flatMap((exposure) => exposure.ports))].toSorted(
                (a, b) => a - b,
              )
              if (ports.length === 0) return <span className="text-ink-3">–</span>
              return (
                <Badge tone="crit">
                  <Globe size={11} aria-hidden />
                  {ports.slice(0, 4).join(', ')}
                  {ports.length > 4 && ' …'}
                </Badge>
              )
            },
          },
          {
            ...actionsColumn,
            cell: (group) => (
              <Button
                size="sm"
                variant="ghost"
                onPress={() => setRemoving(group)}
                aria-label={m.removeTitle(group.name)}
              >
                {m.remove}
              </Button>
            ),
          },
        ]}
      />
      {removing && (
        <ReviewDialog
          title={m.removeTitle(removing.name)}
          writes={[resourceWrite('DELETE', removing.id, { etag: removing.etag })]}
          onClose={() => setRemoving(undefined)}
          onDone={() => setRemoving(undefined)}
        />
      )}
    </>
  )
}
