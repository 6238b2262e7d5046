import { useQuery } from '@tanstack/react-query'
import { KeyRound, Trash2 } from 'lucide-react'
import { lazy, Suspense, useState } from 'react'
import { fleetQueries } from '../../api/queries/fleet.ts'
import type { VirtualMachine } from '../../api/types.ts'
import { ago } from '../../app/format.ts'
import { nameOf } from '../../domain/armId.ts'
import { ActivitySection } from '../../parts/ActivitySection.tsx'
import { Breadcrumb } from '../../parts/Breadcrumb.tsx'
import { JsonCard } from '../../parts/JsonCard.tsx'
import { ResourceTabs } from '../../parts/ResourceTabs.tsx'
import { Section } from '../../parts/Section.tsx'
import { statusText, statusTone } from '../../parts/status.ts'
import { Badge } from '../../ui/Badge.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { Page } from '../../ui/Page.tsx'
import { Skeleton } from '../../ui/Skeleton.tsx'
import { DuplicateCard } from './DuplicateCard.tsx'
import { FactsTab } from './FactsTab.tsx'
import { MachineOverview } from './MachineOverview.tsx'
import { m } from './messages.ts'
import { NetworkTab } from './NetworkTab.tsx'
import { RekeyDialog } from './RekeyDialog.tsx'
import { RetireDialog } from './RetireDialog.tsx'
import { TimelineTab } from './TimelineTab.tsx'

const ConnectTab = lazy(() => import('../bastion/ConnectTab.tsx'))
const TrafficTab = lazy(() => import('../traffic/TrafficTab.tsx'))

const tabIds = ['overview', 'connect', 'network', 'traffic', 'facts', 'timeline', 'activity', 'json'] as const

export default function MachinePage({ id, tab = 'overview' }: { id: string; tab?: string }) {
  const machine = useQuery(fleetQueries.machine(id))
  if (machine.data) return <Machine machine={machine.data} tab={tab} />
  return (
    <Page kicker={<Breadcrumb id={id} kind={m.kind} />} title={nameOf(id)}>
      <Section query={machine}>{() => null}</Section>
    </Page>
  )
}

function Machine({ machine, tab }: { machine: VirtualMachine; tab: string }) {
  const [retire, setRetire] = useState(false)
  const [rekey, setRekey] = useState(false)
  const { id, name = nameOf(id) } = machine
  const state = machine.properties.sekisho
  const subtitle = state?.lastReportAt ? m.reported(ago(state.lastReportAt)) : m.neverReported
  return (
    <Page
      kicker={<Breadcrumb id={id} kind={m.kind} />}
      title={
        <>
          {name}
          {state && <Badge tone={statusTone[state.status]}>{statusText[state.status]}</Badge>}
        </>
      }
      subtitle={subtitle}
      actions={
        <>
          <Button onPress={() => setRekey(true)}>
            <KeyRound size={14} aria-hidden />
            {m.rekey}
          </Button>
          <Button onPress={() => setRetire(true)}>
            <Trash2 size={14} aria-hidden />
            {m.retire}
          </Button>
        </>
      }
      tabs={<ResourceTabs id={id} current={tab} tabs={tabIds.map((item) => ({ id: item, label: m[item] }))} />}
    >
      {state?.duplicate && <DuplicateCard duplicate={state.duplicate} />}
      {tab === 'connect' && (
        <Suspense fallback={<Skeleton className="h-40" />}>
          <ConnectTab machineId={id} users={state?.facts?.users} />
        </Suspense>
      )}
      {tab === 'network' && <NetworkTab machine={machine} />}
      {tab === 'traffic' && (
        <Suspense fallback={<Skeleton className="h-40" />}>
          <TrafficTab machine={machine} />
        </Suspense>
      )}
      {tab === 'facts' && <FactsTab facts={state?.facts} />}
      {tab === 'timeline' && <TimelineTab id={id} />}
      {tab === 'activity' && (
        <Card flush>
          <ActivitySection filter={{ hours: 24 * 30, resourceId: id }} withoutResource />
        </Card>
      )}
      {tab === 'json' && <JsonCard value={machine} />}
      {!['connect', 'network', 'traffic', 'facts', 'timeline', 'activity', 'json'].includes(tab) && (
        <MachineOverview machine={machine} />
      )}
      {rekey && <RekeyDialog id={id} name={name} onClose={() => setRekey(false)} />}
      {retire && <RetireDialog id={id} name={name} onClose={() => setRetire(false)} />}
    </Page>
  )
}
