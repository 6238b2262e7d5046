import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { conditionalAccessQueries, savePolicy } from '../../api/queries/conditionalAccess.ts'
import type { Policy } from '../../api/types.ts'
import type { Write } from '../../api/writes.ts'
import { num } from '../../app/format.ts'
import { useUnsaved } from '../../app/unsaved.ts'
import { draftOf, emptyDraft, isWhole, type PolicyDraft, policyOf, type Risk } from '../../domain/policyDraft.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Several } from '../../parts/Several.tsx'
import { usePrincipalNames } from '../../parts/usePrincipalNames.ts'
import { Button } from '../../ui/Button.tsx'
import { Checkbox } from '../../ui/Checkbox.tsx'
import { Segments } from '../../ui/Segments.tsx'
import { Select } from '../../ui/Select.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { BacktestAnswer } from './BacktestAnswer.tsx'
import { m } from './messages.ts'

const frequencies = ['1', '4', '12', '24', '168']
const riskText = (risk: Risk) =>
  ({ any: m.anyRisk, low: m.fromLow, medium: m.fromMedium, high: m.onlyHigh, as: m.asWritten })[risk]
const frequencyText = (hours: string) => {
  const days = Number(hours) / 24
  return days >= 1 ? m.days(num(days)) : m.hours(hours)
}

export function PolicyPanel({ policy, onClose }: { policy?: Policy; onClose: () => void }) {
  const { principals, find } = usePrincipalNames()
  const { data: locations = [] } = useQuery(conditionalAccessQueries.locations())
  const [start] = useState(() => (policy ? draftOf(policy) : emptyDraft))
  const [draft, setDraft] = useState(start)
  const [confirmLater, setConfirmLater] = useState(false)
  const [write, setWrite] = useState<Write<Policy>>()
  const close = useUnsaved(JSON.stringify(draft) !== JSON.stringify(start), onClose)

  const set = (change: Partial<PolicyDraft>) => setDraft({ ...draft, ...change })
  const body = policyOf(draft, (id) => (find(id)?.type === 'Group' ? 'Group' : 'User'), policy)
  const people = principals
    .filter(({ type }) => type !== 'ServicePrincipal')
    .map(({ id, name, detail }) => ({ id, label: name, detail }))
  const places = locations.map((location) => ({ id: location.id ?? '', label: location.displayName }))
  const hours = draft.frequency === '' || draft.frequency === 'every' ? frequencies : [...frequencies, draft.frequency]
  return (
    <SidePanel
      wide
      title={policy ? m.edit(policy.displayName ?? '') : m.create}
      onClose={close}
      footer={
        <>
          <Button onPress={close}>{m.cancel}</Button>
          <Button
            variant="primary"
            isDisabled={!isWhole(draft)}
            onPress={() =>
              setWrite(savePolicy({ ...body, ...(confirmLater && { sekisho: { confirmWithinMinutes: 10 } }) }))
            }
          >
            {m.review}
          </Button>
        </>
      }
    >
      <div className="flex flex-col gap-5">
        <TextField label={m.name} value={draft.name} onChange={(name) => set({ name })} maxLength={256} autoFocus />
        <Segments
          label={m.state}
          value={draft.state}
          onChange={(state) => set({ state })}
          options={[
            { id: 'enabled', label: m.on },
            { id: 'enabledForReportingButNotEnforced', label: m.report },
            { id: 'disabled', label: m.off },
          ]}
        />
        <div className="flex flex-col gap-3">
          <Segments
            label={m.who}
            value={draft.who}
            onChange={(who) => set({ who })}
            options={[
              { id: 'all', label: m.everyone },
              { id: 'privileged', label: m.privileged },
              { id: 'chosen', label: m.chosen },
            ]}
          />
          {draft.who === 'privileged' && <p className="text-xs text-ink-3">{m.privilegedHint}</p>}
          {draft.who === 'chosen' && (
            <Several
              label={m.include}
              options={people}
              value={draft.included}
              onChange={(included) => set({ included })}
            />
          )}
          <Several
            label={m.exclude}
            options={people}
            value={draft.excluded}
            onChange={(excluded) => set({ excluded })}
          />
        </div>
        <div className="grid grid-cols-2 gap-3">
          <Select
            label={m.target}
            value={draft.target}
            onChange={(target) => set({ target: target as PolicyDraft['target'] })}
            options={(['all', 'portal', 'az', 'api', 'bastion'] as const).map((id) => ({ id, label: m[id] }))}
          />
          <Select
            label={m.client}
            value={draft.client}
            onChange={(client) => set({ client: client as PolicyDraft['client'] })}
            options={(['all', 'browser', 'programs'] as const).map((id) => ({ id, label: m[id] }))}
          />
        </div>
        <Select
          label={m.where}
          value={draft.where}
          onChange={(where) => set({ where: where as PolicyDraft['where'] })}
          options={(['anywhere', 'untrusted', 'outside', 'inside'] as const).map((id) => ({ id, label: m[id] }))}
        />
        {(draft.where === 'outside' || draft.where === 'inside') && (
          <Several label={m.place} options={places} value={draft.places} onChange={(ids) => set({ places: ids })} />
        )}
        <div className="grid grid-cols-2 gap-3">
          {(['signInRisk', 'userRisk'] as const).map((kind) => (
            <Select
              key={kind}
              label={kind === 'signInRisk' ? m.signInRisk : m.userRisk}
              value={draft[kind]}
              onChange={(risk) => set({ [kind]: risk as Risk })}
              options={(
                ['any', 'low', 'medium', 'high', ...(start[kind] === 'as' ? (['as'] as const) : [])] as const
              ).map((id) => ({ id, label: riskText(id) }))}
            />
          ))}
        </div>
        <Checkbox isSelected={draft.deviceCodeOnly} onChange={(deviceCodeOnly) => set({ deviceCodeOnly })}>
          {m.deviceCode}
        </Checkbox>
        <Segments
          label={m.grant}
          value={draft.grant}
          onChange={(grant) => set({ grant })}
          options={(['mfa', 'passkey', 'block', 'none'] as const).map((id) => ({ id, label: m[id] }))}
        />
        {draft.grant !== 'block' && (
          <div className="grid grid-cols-2 gap-3">
            <Select
              label={m.frequency}
              value={draft.frequency || 'never'}
              onChange={(frequency) => set({ frequency: frequency === 'never' ? '' : frequency })}
              options={[
                { id: 'never', label: m.never },
                { id: 'every', label: m.every },
                ...[...new Set(hours)].map((id) => ({ id, label: frequencyText(id) })),
              ]}
            />
            <TextField
              label={m.idle}
              hint={m.idleHint}
              inputMode="numeric"
              value={draft.idleMinutes}
              onChange={(text) => set({ idleMinutes: text.replace(/\D/g, '').slice(0, 2) })}
            />
          </div>
        )}
        <Checkbox isSelected={draft.bound} onChange={(bound) => set({ bound })}>
          {m.bound}
        </Checkbox>
        <Checkbox isSelected={confirmLater} onChange={setConfirmLater}>
          {m.confirmLater}
        </Checkbox>
        <BacktestAnswer policy={body} isReady={isWhole(draft)} />
      </div>
      {write && (
        <ReviewDialog
          title={policy ? m.edit(draft.name) : m.create}
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
