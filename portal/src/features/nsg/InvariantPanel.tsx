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
import { type Found, hasProblem, protocols } from '../../domain/rules.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { protocolText, ruleText } from '../../parts/ruleText.ts'
import { Button } from '../../ui/Button.tsx'
import { Segments } from '../../ui/Segments.tsx'
import { Select } from '../../ui/Select.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { im } from './invariantMessages.ts'
import { m } from './messages.ts'
import { PeerField } from './PeerField.tsx'
import { problemText } from './problemText.ts'

type Props = { invariant?: Invariant; known: Invariant[]; onClose: () => void }

export function InvariantPanel({ invariant, known, onClose }: Props) {
  const { subscriptionId, resourceGroup } = useScope()
  const { data: groups = [] } = useQuery(fleetQueries.resourceGroups(subscriptionId))
  const [initial] = useState<InvariantDraft>(() => (invariant ? invariantDraft(invariant) : newInvariant))
  const [draft, setDraft] = useState(initial)
  const [scope, setScope] = useState(resourceGroup ?? '')
  const [touched, setTouched] = useState<ReadonlySet<keyof InvariantDraft>>(new Set())
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
  const set =
    <K extends keyof InvariantDraft>(field: K) =>
    (value: InvariantDraft[K]) => {
      setDraft((old) => ({ ...old, [field]: value }))
      setTouched((old) => new Set(old).add(field))
    }
  const close = useUnsaved(JSON.stringify(draft) !== JSON.stringify(initial), onClose)
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
        <TextField
          label={ruleText.destinationPorts}
          value={draft.destinationPorts}
          onChange={set('destinationPorts')}
          hint={m.portsHint}
          error={error('destinationPorts')}
          mono
        />
        <Segments
          label={ruleText.protocol}
          value={draft.protocol}
          onChange={set('protocol')}
          options={protocols.map((protocol) => ({ id: protocol as string, label: protocolText(protocol) }))}
        />
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
