import { type UseQueryResult, useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { networkQueries } from '../../api/queries/network.ts'
import type { SecurityGroup } from '../../api/types.ts'
import { useScope } from '../../app/scope.ts'
import { ResourceLink } from '../../parts/ResourceLink.tsx'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { actionsColumn, Table } from '../../ui/Table.tsx'
import { m } from './messages.ts'
import { guardedBy, nicTarget, subnetTargets, type Target } from './targets.ts'

export function Attachments({ group }: { group: SecurityGroup }) {
  const { subscriptionId } = useScope()
  const nics = useQuery({
    ...networkQueries.nics(subscriptionId),
    select: (all) => guardedBy(all.map(nicTarget), group),
  })
  const subnets = useQuery({
    ...networkQueries.vnets(subscriptionId),
    select: (all) => guardedBy(subnetTargets(all), group),
  })
  return (
    <>
      <TargetCard title={m.interfaces} query={nics} detail={m.address} none={m.noNics} />
      <TargetCard title={m.subnets} query={subnets} detail={m.range} none={m.noSubnets} />
    </>
  )
}

type Props = { title: string; query: UseQueryResult<Target[]>; detail: string; none: string }

function TargetCard({ title, query, detail, none }: Props) {
  const [detaching, setDetaching] = useState<Target>()
  const close = () => setDetaching(undefined)
  return (
    <Card flush title={title}>
      <Section query={query}>
        {(targets) =>
          targets.length === 0 ? (
            <p className="px-4 pb-4 text-sm text-ink-2">{none}</p>
          ) : (
            <Table
              label={title}
              rows={targets}
              rowId={(target) => target.id}
              columns={[
                {
                  id: 'name',
                  header: m.name,
                  cell: (target) => <ResourceLink id={target.id}>{target.name}</ResourceLink>,
                },
                {
                  id: 'detail',
                  header: detail,
                  cell: (target) => <span className="font-mono text-xs">{target.detail}</span>,
                },
                {
                  ...actionsColumn,
                  cell: (target) => (
                    <Button
                      size="sm"
                      variant="ghost"
                      onPress={() => setDetaching(target)}
                      aria-label={`${m.detach} ${target.name}`}
                    >
                      {m.detach}
                    </Button>
                  ),
                },
              ]}
            />
          )
        }
      </Section>
      {detaching && (
        <ReviewDialog
          title={`${m.detach}: ${detaching.name}`}
          writes={[detaching.attach(null)]}
          onClose={close}
          onDone={close}
        />
      )}
    </Card>
  )
}
