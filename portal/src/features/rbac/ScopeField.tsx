import { useQuery } from '@tanstack/react-query'
import { fleetQueries } from '../../api/queries/fleet.ts'
import { useScope } from '../../app/scope.ts'
import { parseArmId } from '../../domain/armId.ts'
import { Select } from '../../ui/Select.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'

export type ScopeValue = { kind: 'listed' | 'custom'; id: string }

const custom = 'custom'

export const scopeIsGood = ({ kind, id }: ScopeValue) => kind === 'listed' || parseArmId(id) !== undefined

export function ScopeField({ value, onChange }: { value: ScopeValue; onChange: (value: ScopeValue) => void }) {
  const { subscription, subscriptionId } = useScope()
  const { data: groups = [] } = useQuery(fleetQueries.resourceGroups(subscriptionId))
  const bad = value.kind === 'custom' && value.id !== '' && !scopeIsGood(value)
  return (
    <div className="flex flex-col gap-3">
      <Select
        label={m.scope}
        value={value.kind === 'custom' ? custom : value.id}
        onChange={(id) => onChange(id === custom ? { kind: 'custom', id: '' } : { kind: 'listed', id })}
        options={[
          { id: subscriptionId, label: `${m.subscription} ${subscription?.displayName ?? ''}` },
          ...groups.map((group) => ({ id: group.id, label: `${m.group} ${group.name}` })),
          { id: custom, label: m.custom },
        ]}
      />
      {value.kind === 'custom' && (
        <TextField
          label={m.resourceId}
          value={value.id}
          onChange={(id) => onChange({ kind: 'custom', id: id.trim() })}
          hint={m.scopeHint}
          error={bad ? m.scopeBad : undefined}
          placeholder="/subscriptions/…"
          mono
        />
      )}
    </div>
  )
}
