import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { types } from '../../api/keys.ts'
import { authorizationQueries, createAssignment, type NewAssignment } from '../../api/queries/authorization.ts'
import { useScope } from '../../app/scope.ts'
import { toast } from '../../app/toast.ts'
import { usePrincipalNames } from '../../parts/usePrincipalNames.ts'
import { Button } from '../../ui/Button.tsx'
import { ComboBox } from '../../ui/ComboBox.tsx'
import { ErrorNote } from '../../ui/ErrorNote.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { m } from './messages.ts'
import { PrincipalField } from './PrincipalField.tsx'
import { ScopeField, scopeIsGood, type ScopeValue } from './ScopeField.tsx'

export function AssignPanel({ onClose }: { onClose: () => void }) {
  const client = useQueryClient()
  const { subscriptionId } = useScope()
  const { data: roles = [] } = useQuery(authorizationQueries.definitions(subscriptionId))
  const { find } = usePrincipalNames()
  const [principalId, setPrincipal] = useState('')
  const [roleId, setRole] = useState('')
  const [scope, setScope] = useState<ScopeValue>({ kind: 'listed', id: subscriptionId })

  const principal = find(principalId)
  const role = roles.find((item) => item.id === roleId)
  const wanted: NewAssignment | undefined =
    principal && role && scopeIsGood(scope)
      ? { scope: scope.id, roleDefinitionId: role.id, principalId, principalType: principal.type }
      : undefined
  const assign = useMutation({
    mutationFn: createAssignment,
    onSuccess: () => {
      toast(m.added)
      void client.invalidateQueries({ queryKey: [types.roleAssignment] })
      onClose()
    },
  })
  return (
    <SidePanel
      title={m.add}
      onClose={onClose}
      footer={
        <>
          <Button onPress={onClose}>{m.cancel}</Button>
          <Button
            variant="primary"
            isDisabled={!wanted}
            isPending={assign.isPending}
            onPress={() => wanted && assign.mutate(wanted)}
          >
            {principal && role ? m.assign(role.properties.roleName, principal.name) : m.assignEmpty}
          </Button>
        </>
      }
    >
      <div className="flex flex-col gap-4">
        <PrincipalField value={principalId} onChange={setPrincipal} />
        <ComboBox
          key={roles.length}
          label={m.role}
          value={roleId}
          onChange={setRole}
          options={roles.map((item) => ({ id: item.id, label: item.properties.roleName }))}
          hint={role?.properties.description}
          empty={m.noOption}
        />
        <ScopeField value={scope} onChange={setScope} />
        {assign.error && <ErrorNote error={assign.error} />}
      </div>
    </SidePanel>
  )
}
