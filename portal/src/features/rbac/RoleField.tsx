import type { RoleDefinition } from '../../api/types.ts'
import { ComboBox } from '../../ui/ComboBox.tsx'
import { m } from './messages.ts'

type Props = { roles: RoleDefinition[]; value: string; onChange: (id: string) => void }

export function RoleField({ roles, value, onChange }: Props) {
  return (
    <ComboBox
      key={roles.length}
      label={m.role}
      value={value}
      onChange={onChange}
      options={roles.map((role) => ({ id: role.id, label: role.properties.roleName }))}
      hint={roles.find((role) => role.id === value)?.properties.description}
      empty={m.noOption}
    />
  )
}
