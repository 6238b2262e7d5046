import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { fleetQueries } from '../../api/queries/fleet.ts'
import type { Invariant } from '../../api/types.ts'
import { resourceWrite } from '../../api/writes.ts'
import { useScope } from '../../app/scope.ts'
import { useUnsaved } from '../../app/unsaved.ts'
import {
  checkInvariant,
  type InvariantDraft,
  invariantDraft,
  invariantProperties,
  newInvariant,
} from '../../domain/invariants.ts'
import { type Found, hasProblem } from '../../domain/rules.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { ruleText } from '../../parts/ruleText.ts'
import { Button } from '../../ui/Button.tsx'
import { Segments } from '../../ui/Segments.tsx'
import { Select } from '../../ui/Select.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { im } from './invariantMessages.ts'
import { m } from './messages.ts'
import { PacketFields } from './PacketFields.tsx'
import { PeerField } from './PeerField.tsx'
import { problemText } from './problemText.ts'
import { useDraft } from './useDraft.ts'

type Props = { invariant?: Invariant; known: Invariant[]; onClose: () => void }

export function InvariantPanel({ invariant, known, onClose }: Props) {
  const { subscriptionId, resourceGroup } = useScope()
  const { data: groups = [] } = useQuery(fleetQueries.resourceGroups(subscriptionId))
  const { draft, set, touched, isChanged } = useDraft<InvariantDraft>(() =>
    invariant ? invariantDraft(invariant) : newInvariant,
  )
  const [scope, setScope] = useState(resourceGroup ?? '')
  const [review, setReview] = useState(false)

  const at = groups.find((group) => group.name.toLowerCase() === scope.toLowerCase())?.id ?? subscriptionId
  const id = invariant?.id ?? `${at}/providers/Sekisho.Network/invariants/${draft.name.trim()}`
  const taken = known.filter((other) => !invariant && other.id.toLowerCase() === id.toLowerCase())
  const { destination, ...problems } = checkInvariant(
    draft,
    taken.map((other) => other.name),
  )
  const noMachines = destination?.problem === 'noMachines'
  const found: Record<string, Found | undefined> = {
    ...problems,
    destination: destination?.problem === 'noMachines' ? undefined : destination,
  }
  const error = (field: keyof InvariantDraft) => problemText(found[field], !touched.has(field))
  const close = useUnsaved(isChanged, onClose)
  const title = invariant ? im.edit(invariant.name) : im.create
  return (
    <SidePanel
      title={title}
      subtitle={im.subtitle}
      onClose={close}
      footer={
        <>
          <Button onPress={close}>{m.cancel}</Button>
          <Button variant="primary" isDisabled={noMachines || hasProblem(found)} onPress={() => setReview(true)}>
            {m.review}
          </Button>
        </>
      }
    >
      <div className="flex flex-col gap-5">
        <TextField
          label={m.name}
          value={draft.name}
          onChange={set('name')}
          error={error('name')}
          isDisabled={invariant !== undefined}
          mono
        />
        {!invariant && (
          <Select
            label={im.scope}
            value={scope}
            onChange={setScope}
            options={[
              { id: '', label: im.wholeSubscription },
              ...groups.map((group) => ({ id: group.name, label: group.name })),
            ]}
          />
        )}
        <Segments
          label={im.must}
          value={draft.must}
          onChange={set('must')}
          options={[
            { id: 'Deny', label: im.mustDeny },
            { id: 'Allow', label: im.mustAllow },
          ]}
        />
        <PeerField side="source" peer={draft.source} onChange={set('source')} error={error('source')} withMachines />
        <PeerField
          side="destination"
          peer={draft.destination}
          onChange={set('destination')}
          error={error('destination')}
          withMachines
        />
        {noMachines && <p className="text-xs text-crit">{im.noMachines}</p>}
        <PacketFields draft={draft} set={set} error={error('destinationPorts')} />
        <Segments
          label={im.enforcement}
          value={draft.enforcement}
          onChange={set('enforcement')}
          options={[
            { id: 'enforce', label: im.enforce },
            { id: 'report', label: im.report },
          ]}
        />
        <TextField
          label={ruleText.description}
          value={draft.description}
          onChange={set('description')}
          error={error('description')}
          rows={2}
        />
      </div>
      {review && (
        <ReviewDialog
          title={title}
          writes={[
            resourceWrite('PUT', id, { etag: invariant?.etag, body: { properties: invariantProperties(draft) } }),
          ]}
          onClose={() => setReview(false)}
          onDone={onClose}
        />
      )}
    </SidePanel>
  )
}
