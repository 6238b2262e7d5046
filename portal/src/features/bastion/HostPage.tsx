import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { Settings, Trash2 } from 'lucide-react'
import { lazy, Suspense, useState } from 'react'
import { bastionQueries } from '../../api/queries/bastion.ts'
import type { BastionHost } from '../../api/types.ts'
import { resourceWrite } from '../../api/writes.ts'
import { useUnsaved } from '../../app/unsaved.ts'
import { nameOf } from '../../domain/armId.ts'
import { draftOf, hostBody, isComplete, networksOf, sameDraft } from '../../domain/bastionHost.ts'
import { ActivitySection } from '../../parts/ActivitySection.tsx'
import { Breadcrumb } from '../../parts/Breadcrumb.tsx'
import { JsonCard } from '../../parts/JsonCard.tsx'
import { ResourceTabs } from '../../parts/ResourceTabs.tsx'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { Page } from '../../ui/Page.tsx'
import { PropertyList } from '../../ui/PropertyList.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { HostFields } from './HostFields.tsx'
import { m } from './messages.ts'

const LinksTab = lazy(() => import('./LinksTab.tsx'))

const tabIds = ['settings', 'links', 'activity', 'json'] as const

export default function HostPage({ id, tab = 'settings' }: { id: string; tab?: string }) {
  const host = useQuery(bastionQueries.host(id))
  if (host.data) return <Host host={host.data} tab={tab} />
  return (
    <Page kicker={<Breadcrumb id={id} kind={m.kind} />} title={nameOf(id)}>
      <Section query={host}>{() => null}</Section>
    </Page>
  )
}

function Host({ host, tab }: { host: BastionHost; tab: string }) {
  const navigate = useNavigate()
  const [open, setOpen] = useState<'edit' | 'remove'>()
  const { id, name, properties } = host
  const draft = draftOf(host)
  return (
    <Page
      kicker={<Breadcrumb id={id} kind={m.kind} />}
      title={name}
      actions={
        <>
          <Button onPress={() => setOpen('remove')}>
            <Trash2 size={14} aria-hidden />
            {m.remove}
          </Button>
          <Button variant="primary" onPress={() => setOpen('edit')}>
            <Settings size={14} aria-hidden />
            {m.edit}
          </Button>
        </>
      }
      tabs={<ResourceTabs id={id} current={tab} tabs={tabIds.map((item) => ({ id: item, label: m[item] }))} />}
    >
      {tab === 'activity' && (
        <Card flush>
          <ActivitySection filter={{ hours: 24 * 30, resourceId: id }} withoutResource />
        </Card>
      )}
      {tab === 'links' && (
        <Suspense>
          <LinksTab host={id} />
        </Suspense>
      )}
      {tab === 'json' && <JsonCard value={host} />}
      {!['links', 'activity', 'json'].includes(tab) && (
        <Card title={m.settings}>
          <PropertyList
            items={[
              [m.sku, draft.sku],
              [m.features, draft.on.map((item) => m[item]).join(', ') || m.none],
              [m.networks, networksOf(draft).join(', ') || m.anywhere],
              [m.subnet, draft.subnet ? nameOf(draft.subnet) : m.noSubnet],
              [
                m.address,
                <code key="dns" className="font-mono text-xs break-all">
                  {properties.dnsName ?? m.none}
                </code>,
              ],
            ]}
          />
        </Card>
      )}
      {open === 'edit' && <EditPanel host={host} onClose={() => setOpen(undefined)} />}
      {open === 'remove' && (
        <ReviewDialog
          title={m.removeTitle(name)}
          writes={[resourceWrite('DELETE', id, { etag: host.etag })]}
          onClose={() => setOpen(undefined)}
          onDone={() => void navigate({ to: '/bastion', search: {} })}
        >
          <p className="text-sm">{m.removeWhy}</p>
        </ReviewDialog>
      )}
    </Page>
  )
}

function EditPanel({ host, onClose }: { host: BastionHost; onClose: () => void }) {
  const before = draftOf(host)
  const [draft, setDraft] = useState(before)
  const [review, setReview] = useState(false)
  const isSame = sameDraft(draft, before)
  const close = useUnsaved(!isSame, onClose)
  return (
    <SidePanel
      title={m.settingsOf(host.name)}
      onClose={close}
      footer={
        <>
          <Button onPress={close}>{m.cancel}</Button>
          <Button variant="primary" isDisabled={isSame || !isComplete(draft)} onPress={() => setReview(true)}>
            {m.review}
          </Button>
        </>
      }
    >
      <div className="flex flex-col gap-4">
        <HostFields draft={draft} onChange={setDraft} />
      </div>
      {review && (
        <ReviewDialog
          title={m.settingsOf(host.name)}
          writes={[resourceWrite('PUT', host.id, { etag: host.etag, body: { ...host, ...hostBody(draft, host) } })]}
          onClose={() => setReview(false)}
          onDone={onClose}
        />
      )}
    </SidePanel>
  )
}
