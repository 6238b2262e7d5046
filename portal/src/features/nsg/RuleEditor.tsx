import { useState } from 'react'
import type { Direction, SecurityGroup, SecurityRule } from '../../api/types.ts'
import { resourceWrite } from '../../api/writes.ts'
import { useUnsaved } from '../../app/unsaved.ts'
import { checkDraft, draftOf, hasProblem, newDraft, propertiesOf, type RuleDraft } from '../../domain/rules.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { ruleText } from '../../parts/ruleText.ts'
import { accessText } from '../../parts/status.ts'
import { Button } from '../../ui/Button.tsx'
import { Segments } from '../../ui/Segments.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'
import { PacketFields } from './PacketFields.tsx'
import { PeerField } from './PeerField.tsx'
import { problemText } from './problemText.ts'
import { useDraft } from './useDraft.ts'

type Props = { group: SecurityGroup; direction: Direction; rule?: SecurityRule; onClose: () => void }

export function RuleEditor({ group, direction, rule, onClose }: Props) {
  const rules = group.properties.securityRules ?? []
  const { draft, set, touched, isChanged } = useDraft<RuleDraft>(() =>
    rule ? draftOf(rule) : newDraft(rules, direction),
  )
  const [review, setReview] = useState(false)

  const problems = checkDraft(draft, direction, rules, rule?.name)
  const error = (field: keyof RuleDraft) => problemText(problems[field], !touched.has(field))
  const close = useUnsaved(isChanged, onClose)
  const write = resourceWrite('PUT', `${group.id}/securityRules/${draft.name.trim()}`, {
    etag: rule?.etag,
    body: { properties: propertiesOf(draft, direction) },
  })
  const heading = rule ? m.edit(rule.name) : direction === 'Inbound' ? m.addInbound : m.addOutbound

  return (
    <SidePanel
      title={heading}
      subtitle={group.name}
      onClose={close}
      footer={
        <>
          <Button onPress={close}>{m.cancel}</Button>
          <Button variant="primary" isDisabled={hasProblem(problems)} onPress={() => setReview(true)}>
            {m.review}
          </Button>
        </>
      }
    >
      <div className="flex flex-col gap-5">
        <PeerField side="source" peer={draft.source} onChange={set('source')} error={error('source')} />
        <TextField
          label={ruleText.sourcePorts}
          value={draft.sourcePorts}
          onChange={set('sourcePorts')}
          error={error('sourcePorts')}
          mono
        />
        <PeerField
          side="destination"
          peer={draft.destination}
          onChange={set('destination')}
          error={error('destination')}
        />
        <PacketFields draft={draft} set={set} error={error('destinationPorts')} />
        <Segments
          label={ruleText.action}
          value={draft.access}
          onChange={set('access')}
          options={[
            { id: 'Allow', label: accessText.Allow },
            { id: 'Deny', label: accessText.Deny },
          ]}
        />
        <div className="grid grid-cols-2 gap-3">
          <TextField
            label={ruleText.priority}
            value={draft.priority}
            onChange={set('priority')}
            hint={m.priorityHint}
            error={error('priority')}
            inputMode="numeric"
            mono
          />
          <TextField
            label={ruleText.name}
            value={draft.name}
            onChange={set('name')}
            error={error('name')}
            isDisabled={rule !== undefined}
            mono
          />
        </div>
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
          title={m.reviewTitle(draft.name)}
          writes={[write]}
          onClose={() => setReview(false)}
          onDone={onClose}
        />
      )}
    </SidePanel>
  )
}
