import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { authorizationQueries, createAssignment, type NewAssignment } from '../../api/queries/authorization.ts'
import type { RoleAssignment } from '../../api/types.ts'
import type { Write } from '../../api/writes.ts'
import { useScope } from '../../app/scope.ts'
import { useUnsaved } from '../../app/unsaved.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { usePrincipalNames } from '../../parts/usePrincipalNames.ts'
import { Button } from '../../ui/Button.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { m } from './messages.ts'
import { PrincipalField } from './PrincipalField.tsx'
import { RoleField } from './RoleField.tsx'
import { ScopeField, scopeIsGood, type ScopeValue } from './ScopeField.tsx'

export function AssignPanel({ onClose }: { onClose: () => void }) {
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
  const [write, setWrite] = useState<Write<RoleAssignment>>()
  const close = useUnsaved(principalId !== '' || roleId !== '' || scope.id !== subscriptionId, onClose)
  const effect = principal && role ? m.assign(role.properties.roleName, principal.name) : m.assignEmpty
  return (
    <SidePanel
      title={m.add}
      onClose={close}
      footer={
        <>
          <Button onPress={close}>{m.cancel}</Button>
          <Button
            variant="primary"
            isDisabled={!wanted}
            onPress={() => wanted && setWrite(createAssignment(wanted, crypto.randomUUID()))}
          >
            {m.review}
          </Button>
        </>
      }
    >
      <div className="flex flex-col gap-4">
        <PrincipalField value={principalId} onChange={setPrincipal} />
        <RoleField roles={roles} value={roleId} onChange={setRole} />
        <ScopeField value={scope} onChange={setScope} />
      </div>
      {write && (
        <ReviewDialog
          title={m.add}
          writes={[write]}
          confirm={effect}
          done={m.added}
          onClose={() => setWrite(undefined)}
          onDone={onClose}
        />
      )}
    </SidePanel>
  )
}
