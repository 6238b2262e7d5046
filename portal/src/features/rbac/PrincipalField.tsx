import { usePrincipalNames } from '../../parts/usePrincipalNames.ts'
import { ComboBox } from '../../ui/ComboBox.tsx'
import { m } from './messages.ts'

export function PrincipalField({ value, onChange }: { value: string; onChange: (id: string) => void }) {
  const { principals } = usePrincipalNames()
  const options = principals.map((principal) => ({
    id: principal.id,
    label: principal.name,
    detail: principal.type === 'User' ? principal.detail : m[principal.type],
  }))
  return (
    <ComboBox
      key={options.length}
      label={m.principal}
      options={options}
      value={value}
      onChange={onChange}
      empty={m.noOption}
    />
  )
}
