import { type UseQueryResult, useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { networkQueries } from '../../api/queries/network.ts'
import type { SecurityGroup } from '../../api/types.ts'
import { useScope } from '../../app/scope.ts'
import { useUnsaved } from '../../app/unsaved.ts'
import { nameOf, sameId } from '../../domain/armId.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { Button } from '../../ui/Button.tsx'
import { Checkbox } from '../../ui/Checkbox.tsx'
import { SearchField } from '../../ui/SearchField.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { m } from './messages.ts'
import { nicTarget, subnetTargets, type Target } from './targets.ts'

const shownTargets = 100

export function AssociatePanel({ group, onClose }: { group: SecurityGroup; onClose: () => void }) {
  const { subscriptionId } = useScope()
  const nics = useQuery({ ...networkQueries.nics(subscriptionId), select: (all) => all.map(nicTarget) })
  const subnets = useQuery({ ...networkQueries.vnets(subscriptionId), select: subnetTargets })
  const [query, setQuery] = useState('')
  const [chosen, setChosen] = useState<ReadonlyMap<string, Target>>(new Map())
  const [review, setReview] = useState(false)

  const toggle = (target: Target, on: boolean) =>
    setChosen((old) => {
      const next = new Map(old)
      if (on) next.set(target.id, target)
      else next.delete(target.id)
      return next
    })
  const close = useUnsaved(chosen.size > 0, onClose)
  const writes = [...chosen.values()].map((target) => target.attach(group.id))
  const list = { group, query, chosen, toggle }
  return (
    <SidePanel
      title={m.attachTitle(group.name)}
      subtitle={m.attachWhy}
      onClose={close}
      footer={
        <>
          <Button onPress={close}>{m.cancel}</Button>
          <Button variant="primary" isDisabled={chosen.size === 0} onPress={() => setReview(true)}>
            {chosen.size > 0 ? m.chosen(chosen.size) : m.review}
          </Button>
        </>
      }
    >
      <div className="flex flex-col gap-4">
        <SearchField label={m.find} value={query} onChange={setQuery} className="w-full" />
        <TargetList {...list} title={m.subnets} targets={subnets} />
        <TargetList {...list} title={m.interfaces} targets={nics} />
      </div>
      {review && (
        <ReviewDialog
          title={m.attachTitle(group.name)}
          writes={writes}
          onClose={() => setReview(false)}
          onDone={onClose}
        />
      )}
    </SidePanel>
  )
}

type Props = {
  title: string
  targets: UseQueryResult<Target[]>
  group: SecurityGroup
  query: string
  chosen: ReadonlyMap<string, Target>
  toggle: (target: Target, on: boolean) => void
}

function TargetList({ title, targets, group, query, chosen, toggle }: Props) {
  const needle = query.trim().toLowerCase()
  return (
    <section aria-label={title}>
      <h3 className="mb-1.5 text-xs font-medium text-ink-2">{title}</h3>
      <Section query={targets}>
        {(all) => (
          <ul className="flex flex-col gap-1.5">
            {all
              .filter((target) => `${target.name} ${target.detail}`.toLowerCase().includes(needle))
              .slice(0, shownTargets)
              .map((target) => {
                const already = sameId(target.group, group.id)
                return (
                  <li key={target.id}>
                    <Checkbox
                      isSelected={already || chosen.has(target.id)}
                      isDisabled={already}
                      onChange={(on) => toggle(target, on)}
                    >
                      <span className="min-w-0">
                        {target.name}
                        <span className="ml-2 font-mono text-xs text-ink-3">{target.detail}</span>
                        {target.group && <span className="ml-2 text-xs text-ink-2">{m.now(nameOf(target.group))}</span>}
                      </span>
                    </Checkbox>
                  </li>
                )
              })}
          </ul>
        )}
      </Section>
    </section>
  )
}
