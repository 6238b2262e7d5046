import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { Server } from 'lucide-react'
import { fleetQueries } from '../../api/queries/fleet.ts'
import { jitWaiting } from '../../api/queries/jitWaiting.ts'
import { networkQueries } from '../../api/queries/network.ts'
import type { Machine } from '../../api/types.ts'
import { inGroup, useScope } from '../../app/scope.ts'
import { parseArmId } from '../../domain/armId.ts'
import { exposures } from '../../domain/exposure.ts'
import { ActivitySection } from '../../parts/ActivitySection.tsx'
import { Section } from '../../parts/Section.tsx'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Page } from '../../ui/Page.tsx'
import { Skeleton } from '../../ui/Skeleton.tsx'
import { AttentionTiles } from './AttentionTiles.tsx'
import { ExposureTable } from './ExposureTable.tsx'
import { m } from './messages.ts'
import { NetworkProblems } from './NetworkProblems.tsx'

export default function OverviewPage() {
  const { session, subscriptionId, resourceGroup } = useScope()
  const machines = useQuery({
    ...fleetQueries.machines(subscriptionId),
    select: (all) => all.filter((machine) => inGroup(resourceGroup, machine.resourceGroup)),
  })
  const found = useQuery({
    ...networkQueries.nsgs(subscriptionId),
    select: (all) =>
      all.filter((group) => inGroup(resourceGroup, parseArmId(group.id)?.resourceGroup)).flatMap(exposures),
  })
  const tokens = useQuery(fleetQueries.tokens(subscriptionId))
  const waiting = useQuery(jitWaiting(subscriptionId, session.person.id))
  const online = machines.data?.filter((machine) => machine.status === 'online').length ?? 0

  // What is below the tiles and lists would move when they are known.
  if (machines.isPending || found.isPending || tokens.isPending) {
    return (
      <Page title={m.title} subtitle={'\u00a0'}>
        <div aria-busy>
          <Skeleton className="h-96" />
        </div>
      </Page>
    )
  }

  return (
    <Page title={m.title} subtitle={machines.data && m.subtitle(machines.data.length, online)}>
      <Section query={machines} skeleton="h-28">
        {(fleet) =>
          fleet.length === 0 ? (
            <FirstMachine />
          ) : (
            <AttentionTiles
              machines={fleet}
              exposures={found.data}
              tokens={tokens.data}
              waiting={waiting.data?.length}
            />
          )
        }
      </Section>
      <div className="grid gap-4 xl:grid-cols-2">
        <Card flush title={m.exposureTitle}>
          <Section query={found}>
            {(list) => <ExposureTable exposures={list} machines={machines.data ?? noMachines} />}
          </Section>
        </Card>
        <Card flush title={m.networkTitle}>
          <Section query={machines}>{(fleet) => <NetworkProblems machines={fleet} />}</Section>
        </Card>
      </div>
      <Card
        flush
        title={m.recent}
        actions={
          <Link to="/audit" className="text-xs font-medium text-accent hover:underline">
            {m.showAll}
          </Link>
        }
      >
        <ActivitySection filter={{ hours: 24, resourceGroup }} limit={8} />
      </Card>
    </Page>
  )
}

const noMachines: Machine[] = []

function FirstMachine() {
  return (
    <Card>
      <EmptyState
        icon={<Server size={20} aria-hidden />}
        title={m.noMachines}
        action={
          <Link
            to="/machines"
            search={{ connect: true }}
            className="inline-flex h-8 items-center rounded-md bg-accent px-3 text-sm font-medium text-accent-ink hover:brightness-110"
          >
            {m.connect}
          </Link>
        }
      >
        {m.noMachinesWhy}
      </EmptyState>
    </Card>
  )
}
