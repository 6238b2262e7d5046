import { useQueries, useQuery, type UseQueryResult } from '@tanstack/react-query'
import { Network } from 'lucide-react'
import { useState } from 'react'
import { networkQueries } from '../../api/queries/network.ts'
import type { VirtualMachine } from '../../api/types.ts'
import { AttachPanel } from '../../parts/AttachPanel.tsx'
import { EffectiveRules } from '../../parts/EffectiveRules.tsx'
import { ResourceLink } from '../../parts/ResourceLink.tsx'
import { Section } from '../../parts/Section.tsx'
import { Badge } from '../../ui/Badge.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { PropertyList } from '../../ui/PropertyList.tsx'
import { Skeleton } from '../../ui/Skeleton.tsx'
import { nameOf } from '../../domain/armId.ts'
import { m } from './messages.ts'
import { PacketTrial } from './PacketTrial.tsx'

export function NetworkTab({ machine }: { machine: VirtualMachine }) {
  const nics = machine.properties.networkProfile?.networkInterfaces ?? []
  const isWaiting = (all: UseQueryResult<unknown>[]) => all.some((one) => one.isPending)
  const nicsWait = useQueries({ queries: nics.map(({ id }) => networkQueries.nic(id)), combine: isWaiting })
  const rulesWait = useQueries({ queries: nics.map(({ id }) => networkQueries.effectiveRules(id)), combine: isWaiting })
  // Whatever is below an interface would move when more of it is known.
  if (nicsWait || rulesWait) {
    return (
      <div aria-busy>
        <Skeleton className="h-96" />
      </div>
    )
  }
  if (nics.length === 0) return <EmptyState icon={<Network size={20} aria-hidden />} title={m.noNics} />
  return nics.map((nic) => <InterfaceCard key={nic.id} id={nic.id} />)
}

function InterfaceCard({ id }: { id: string }) {
  const query = useQuery(networkQueries.nic(id))
  const [attach, setAttach] = useState(false)
  return (
    <Card
      flush
      title={
        <span className="flex items-center gap-2">
          <Network size={15} className="text-ink-3" aria-hidden />
          <ResourceLink id={id} />
        </span>
      }
      actions={
        <Button size="sm" isDisabled={!query.data} onPress={() => setAttach(true)}>
          {m.change}
        </Button>
      }
    >
      <Section query={query}>
        {(nic) => {
          const { networkSecurityGroup, macAddress, ipConfigurations = [] } = nic.properties
          const addresses = ipConfigurations.map((config) => config.properties.privateIPAddress).filter(Boolean)
          // IPv4 and IPv6 of one interface are in one subnet.
          const subnets = [...new Set(ipConfigurations.map((config) => config.properties.subnet?.id))].filter(
            (subnet) => subnet !== undefined,
          )
          const asgs = ipConfigurations.flatMap((config) => config.properties.applicationSecurityGroups ?? [])
          return (
            <>
              <div className="px-4 pb-4">
                <PropertyList
                  items={[
                    [
                      m.group,
                      networkSecurityGroup ? (
                        <ResourceLink key="g" id={networkSecurityGroup.id} />
                      ) : (
                        <Badge key="g" tone="med">
                          {m.none}
                        </Badge>
                      ),
                    ],
                    [
                      m.addresses,
                      <span key="a" className="font-mono text-xs">
                        {addresses.join(', ') || '–'}
                      </span>,
                    ],
                    [
                      m.subnet,
                      subnets.length > 0 ? subnets.map((subnet) => <ResourceLink key={subnet} id={subnet} />) : '–',
                    ],
                    ...(macAddress
                      ? ([
                          [
                            m.mac,
                            <span key="m" className="font-mono text-xs">
                              {macAddress}
                            </span>,
                          ],
                        ] satisfies [string, React.ReactNode][])
                      : []),
                    ...(asgs.length > 0
                      ? ([[m.asgs, asgs.map((asg) => nameOf(asg.id)).join(', ')]] satisfies [string, string][])
                      : []),
                  ]}
                />
              </div>
              <PacketTrial nicId={id} address={addresses[0] ?? ''} />
              <EffectiveRules nicId={id} />
              {attach && <AttachPanel nic={nic} onClose={() => setAttach(false)} />}
            </>
          )
        }}
      </Section>
    </Card>
  )
}
