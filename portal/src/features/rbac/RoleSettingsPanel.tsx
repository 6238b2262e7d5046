import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { pimQueries, type PolicyRule, saveSettings } from '../../api/queries/pim.ts'
import type { Write } from '../../api/writes.ts'
import { useScope } from '../../app/scope.ts'
import { useUnsaved } from '../../app/unsaved.ts'
import { nameOf } from '../../domain/armId.ts'
import { type RoleSettings, rulesOf, settingsOf } from '../../domain/roleSettings.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { spanText, usualSpans } from '../../parts/spanText.ts'
import { Several } from '../../parts/Several.tsx'
import { usePrincipalNames } from '../../parts/usePrincipalNames.ts'
import { Button } from '../../ui/Button.tsx'
import { Checkbox } from '../../ui/Checkbox.tsx'
import { Select } from '../../ui/Select.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'
import { scopeText } from './scopeText.ts'

type Props = { scope: string; role: { id: string; name: string }; onClose: () => void }

/** What it takes to activate a role at a scope and below. */
export function RoleSettingsPanel({ scope, role, onClose }: Props) {
  const { session } = useScope()
  const settings = useQuery(pimQueries.settings(scope, nameOf(role.id)))
  const title = m.settingsOf(role.name, scopeText(scope, session.subscriptions))
  if (!settings.data) {
    return (
      <SidePanel title={title} onClose={onClose}>
        <Section query={settings}>{() => null}</Section>
      </SidePanel>
    )
  }
  return (
    <Form title={title} rules={settings.data.properties.rules} scope={scope} role={nameOf(role.id)} onClose={onClose} />
  )
}

type FormProps = { title: string; rules: PolicyRule[]; scope: string; role: string; onClose: () => void }

function Form({ title, rules, scope, role, onClose }: FormProps) {
  const { principals, find } = usePrincipalNames()
  const [start] = useState(() => settingsOf(rules))
  const [draft, setDraft] = useState(start)
  const [write, setWrite] = useState<Write>()
  const close = useUnsaved(JSON.stringify(draft) !== JSON.stringify(start), onClose)
  const set = (change: Partial<RoleSettings>) => setDraft({ ...draft, ...change })
  const people = principals
    .filter(({ type }) => type !== 'ServicePrincipal')
    .map(({ id, name, detail }) => ({ id, label: name, detail }))
  const isGroup = (id: string) => find(id)?.type === 'Group'
  return (
    <SidePanel
      title={title}
      onClose={close}
      footer={
        <>
          <Button onPress={close}>{m.cancel}</Button>
          <Button variant="primary" onPress={() => setWrite(saveSettings(scope, role, rulesOf(draft, isGroup)))}>
            {m.review}
          </Button>
        </>
      }
    >
      <div className="flex flex-col gap-4">
        <Select
          label={m.most}
          value={String(draft.minutes)}
          onChange={(minutes) => set({ minutes: Number(minutes) })}
          options={[...new Set([...usualSpans, draft.minutes])]
            .toSorted((a, b) => a - b)
            .map((minutes) => ({ id: String(minutes), label: spanText(minutes) }))}
        />
        <fieldset className="flex flex-col gap-2">
          <legend className="mb-1 text-xs font-medium text-ink-2">{m.needs}</legend>
          <Checkbox isSelected={draft.multiFactor} onChange={(multiFactor) => set({ multiFactor })}>
            {m.needMfa}
          </Checkbox>
          <Checkbox isSelected={draft.passkey} onChange={(passkey) => set({ passkey })}>
            {m.needPasskey}
          </Checkbox>
          <Checkbox isSelected={draft.justification} onChange={(justification) => set({ justification })}>
            {m.needReason}
          </Checkbox>
          <Checkbox isSelected={draft.ticket} onChange={(ticket) => set({ ticket })}>
            {m.needTicket}
          </Checkbox>
        </fieldset>
        {draft.ticket && (
          <TextField
            label={m.pattern}
            hint={m.patternHint}
            value={draft.pattern}
            onChange={(pattern) => set({ pattern })}
            mono
          />
        )}
        <Checkbox isSelected={draft.bound} onChange={(bound) => set({ bound })}>
          {m.bound}
        </Checkbox>
        <Checkbox isSelected={draft.approval} onChange={(approval) => set({ approval })}>
          {m.approval}
        </Checkbox>
        {draft.approval && (
          <>
            <Several
              label={m.approvers}
              options={people}
              value={draft.approvers}
              onChange={(approvers) => set({ approvers })}
            />
            <p className="text-xs text-ink-3">{m.approversHint}</p>
            <Select
              label={m.yeses}
              value={String(draft.yeses)}
              onChange={(yeses) => set({ yeses: Number(yeses) })}
              options={[...new Set([1, 2, 3, draft.yeses])].map((n) => ({ id: String(n), label: String(n) }))}
            />
          </>
        )}
      </div>
      {write && (
        <ReviewDialog
          title={title}
          writes={[write]}
          confirm={m.save}
          done={m.saved}
          onClose={() => setWrite(undefined)}
          onDone={onClose}
        />
      )}
    </SidePanel>
  )
}
