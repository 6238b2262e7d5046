import { useQuery } from '@tanstack/react-query'
import { networkQueries } from '../../api/queries/network.ts'
import { useScope } from '../../app/scope.ts'
import {
  barriers,
  has,
  type HostDraft,
  isLimit,
  isPorts,
  kinds,
  limitIds,
  limits,
  portsOf,
  skus,
  switches,
  switchIds,
  whose,
} from '../../domain/bastionHost.ts'
import { Checkbox } from '../../ui/Checkbox.tsx'
import { Segments } from '../../ui/Segments.tsx'
import { Select } from '../../ui/Select.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m, s } from './messages.ts'

const nowhere = '-'
const usual = '-'

/** What is said of a host, when it is made and later. */
export function HostFields({ draft, onChange }: { draft: HostDraft; onChange: (draft: HostDraft) => void }) {
  const { subscriptionId } = useScope()
  const networks = useQuery(networkQueries.vnets(subscriptionId))
  const subnets = (networks.data ?? []).flatMap((network) =>
    (network.properties.subnets ?? []).map(({ id, name }) => ({ id, label: `${network.name} / ${name}` })),
  )
  const set = (change: Partial<HostDraft>) => onChange({ ...draft, ...change })
  const known = subnets.find(({ id }) => id.toLowerCase() === draft.subnet.toLowerCase())?.id ?? draft.subnet
  return (
    <>
      <Segments
        label={m.sku}
        value={draft.sku}
        onChange={(sku) => set({ sku })}
        options={skus.map((id) => ({ id, label: id }))}
      />
      <fieldset className="flex flex-col gap-2">
        <legend className="mb-1 text-xs font-medium text-ink-2">{m.features}</legend>
        {switchIds.map((id) => (
          <Checkbox
            key={id}
            isDisabled={!has(draft.sku, id)}
            isSelected={draft.on.includes(id) && has(draft.sku, id)}
            onChange={(on) => set({ on: on ? [...draft.on, id] : draft.on.filter((other) => other !== id) })}
          >
            <span>
              {m[id]} {!has(draft.sku, id) && <span className="text-xs text-ink-2">({m.needs(switches[id])})</span>}
            </span>
          </Checkbox>
        ))}
      </fieldset>
      {draft.on.includes('enableFileCopy') && has(draft.sku, 'enableFileCopy') && (
        <fieldset className="flex flex-col gap-2">
          <legend className="mb-1 text-xs font-medium text-ink-2">{m.files}</legend>
          {barriers.map((id) => (
            <Checkbox
              key={id}
              isSelected={draft.barred.includes(id)}
              onChange={(on) =>
                set({ barred: on ? [...draft.barred, id] : draft.barred.filter((other) => other !== id) })
              }
            >
              {m[id]}
            </Checkbox>
          ))}
        </fieldset>
      )}
      <fieldset className="grid grid-cols-2 gap-3">
        <legend className="mb-1 text-xs font-medium text-ink-2">{m.limits}</legend>
        {limitIds.map((id) => (
          <TextField
            key={id}
            label={m[id]}
            value={draft.limits[id]}
            onChange={(text) => set({ limits: { ...draft.limits, [id]: text.trim() } })}
            error={isLimit(id, draft.limits[id]) ? undefined : m.limitBad(limits[id])}
            placeholder={m.noLimit}
            inputMode="numeric"
          />
        ))}
      </fieldset>
      <fieldset className="grid grid-cols-2 gap-3">
        <legend className="mb-1 text-xs font-medium text-ink-2">{m.kept}</legend>
        {whose.map((id) => (
          <Select
            key={id}
            label={m[id]}
            value={draft.kept[id] || usual}
            onChange={(kind) => set({ kept: { ...draft.kept, [id]: kinds.find((known) => known === kind) ?? '' } })}
            options={kinds.map((kind) => ({
              id: kind || usual,
              label: kind ? s[kind] : id === 'recording' ? m.asSwitched : m.asOfEverybody,
            }))}
          />
        ))}
      </fieldset>
      {draft.on.includes('enableTunneling') && has(draft.sku, 'enableTunneling') && (
        <TextField
          label={m.tunnelPorts}
          hint={m.tunnelPortsHint}
          value={draft.ports}
          onChange={(ports) => set({ ports })}
          error={portsOf(draft).every(isPorts) ? undefined : m.tunnelPortsBad}
          mono
        />
      )}
      <Select
        label={m.subnet}
        value={known === '' ? nowhere : known}
        onChange={(id) => set({ subnet: id === nowhere ? '' : id })}
        options={[{ id: nowhere, label: m.noSubnet }, ...subnets]}
      />
      <TextField
        label={m.networks}
        hint={m.networksHint}
        value={draft.networks}
        onChange={(text) => set({ networks: text })}
        rows={4}
        mono
      />
    </>
  )
}
