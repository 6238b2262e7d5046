import { Select } from '../../ui/Select.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'

export type SecretDraft = { name: string; days: string }

export const endOf = ({ days }: SecretDraft) => new Date(Date.now() + Number(days) * 86_400_000).toISOString()

export function SecretFields({ draft, onChange }: { draft: SecretDraft; onChange: (draft: SecretDraft) => void }) {
  return (
    <div className="grid grid-cols-[1fr_140px] gap-3">
      <TextField label={m.secretName} value={draft.name} onChange={(name) => onChange({ ...draft, name })} isRequired />
      <Select
        label={m.validFor}
        value={draft.days}
        onChange={(days) => onChange({ ...draft, days })}
        options={[
          { id: '30', label: m.d30 },
          { id: '90', label: m.d90 },
          { id: '180', label: m.d180 },
        ]}
      />
    </div>
  )
}
