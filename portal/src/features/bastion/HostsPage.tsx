import { useQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { Plus, Waypoints } from 'lucide-react'
import { bastionQueries } from '../../api/queries/bastion.ts'
import { inGroup, useScope } from '../../app/scope.ts'
import { parseArmId } from '../../domain/armId.ts'
import { draftOf, networksOf } from '../../domain/bastionHost.ts'
import { ResourceLink } from '../../parts/ResourceLink.tsx'
import { Section } from '../../parts/Section.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Page } from '../../ui/Page.tsx'
import { Table } from '../../ui/Table.tsx'
import { CreateHostPanel } from './CreateHostPanel.tsx'
import { m } from './messages.ts'

const route = getRouteApi('/shell/bastion')

export default function HostsPage() {
  const { subscriptionId, resourceGroup } = useScope()
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const hosts = useQuery(bastionQueries.hosts(subscriptionId))
  const setCreate = (on: boolean) =>
    void navigate({ search: (old) => ({ ...old, create: on || undefined }), replace: true })
  const create = (
    <Button variant="primary" onPress={() => setCreate(true)}>
      <Plus size={14} aria-hidden />
      {m.create}
    </Button>
  )
  return (
    <Page title={m.title} subtitle={m.subtitle} actions={create}>
      <Card flush>
        <Section query={hosts} skeleton="h-96">
          {(all) => {
            const rows = all.filter((host) => inGroup(resourceGroup, parseArmId(host.id)?.resourceGroup))
            if (rows.length === 0) {
              return (
                <EmptyState icon={<Waypoints size={20} aria-hidden />} title={m.empty} action={create}>
                  {m.emptyWhy}
                </EmptyState>
              )
            }
            return (
              <Table
                label={m.title}
                rows={rows}
                rowId={(host) => host.id}
                columns={[
                  { id: 'name', header: m.name, cell: (host) => <ResourceLink id={host.id} /> },
                  { id: 'group', header: m.group, cell: (host) => parseArmId(host.id)?.resourceGroup },
                  { id: 'sku', header: m.sku, cell: (host) => draftOf(host).sku },
                  {
                    id: 'on',
                    header: m.features,
                    cell: (host) =>
                      draftOf(host)
                        .on.map((id) => m[id])
                        .join(', ') || m.none,
                  },
                  {
                    id: 'from',
                    header: m.networks,
                    cell: (host) => networksOf(draftOf(host)).join(', ') || m.anywhere,
                  },
                ]}
              />
            )
          }}
        </Section>
      </Card>
      {search.create && <CreateHostPanel onClose={() => setCreate(false)} />}
    </Page>
  )
}
