import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { authorizationQueries } from '../../api/queries/authorization.ts'
import { assignSpan, type RoleRequest, type SpanKind } from '../../api/queries/pim.ts'
import type { Write } from '../../api/writes.ts'
import { useScope } from '../../app/scope.ts'
import { useUnsaved } from '../../app/unsaved.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { usePrincipalNames } from '../../parts/usePrincipalNames.ts'
import { Button } from '../../ui/Button.tsx'
import { Segments } from '../../ui/Segments.tsx'
import { Select } from '../../ui/Select.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'
import { PrincipalField } from './PrincipalField.tsx'
import { RoleField } from './RoleField.tsx'
import { ScopeField, scopeIsGood, type ScopeValue } from './ScopeField.tsx'

const day = 1440
const lengths = { forever: undefined, day, week: 7 * day, month: 30 * day, quarter: 90 * day, year: 365 * day } as const
type Length = keyof typeof lengths

/** A role that somebody may activate, or has until a certain time. */
export function EligiblePanel({ onClose }: { onClose: () => void }) {
  const { subscriptionId } = useScope()
  const { data: roles = [] } = useQuery(authorizationQueries.definitions(subscriptionId))
  const { find } = usePrincipalNames()
  const [kind, setKind] = useState<SpanKind>('Eligibility')
  const [principalId, setPrincipal] = useState('')
  const [roleId, setRole] = useState('')
  const [scope, setScope] = useState<ScopeValue>({ kind: 'listed', id: subscriptionId })
  const [length, setLength] = useState<Length>('year')
  const [justification, setReason] = useState('')
  const [write, setWrite] = useState<Write<RoleRequest>>()
  const close = useUnsaved(principalId !== '' || roleId !== '' || justification !== '', onClose)
  const principal = find(principalId)
  const role = roles.find((item) => item.id === roleId)
  const whole = principal && role && scopeIsGood(scope) && justification.trim() !== ''
  return (
    <SidePanel
      title={m.addEligible}
      onClose={close}
      footer={
        <>
          <Button onPress={close}>{m.cancel}</Button>
          <Button
            variant="primary"
            isDisabled={!whole}
            onPress={() =>
              setWrite(
                assignSpan({
                  kind,
                  scope: scope.id,
                  roleDefinitionId: roleId,
                  principalId,
                  justification: justification.trim(),
                  minutes: lengths[length],
                }),
              )
            }
          >
            {m.review}
          </Button>
        </>
      }
    >
      <div className="flex flex-col gap-4">
        <Segments
          label={m.kind}
          value={kind}
          onChange={setKind}
          options={[
            { id: 'Eligibility', label: m.Eligibility },
            { id: 'Assignment', label: m.Assignment },
          ]}
        />
        <p className="text-xs text-ink-3">{kind === 'Eligibility' ? m.eligibleWhy : m.activeWhy}</p>
        <PrincipalField value={principalId} onChange={setPrincipal} />
        <RoleField roles={roles} value={roleId} onChange={setRole} />
        <ScopeField value={scope} onChange={setScope} />
        <Select
          label={m.lasts}
          value={length}
          onChange={(id) => setLength(id as Length)}
          options={(Object.keys(lengths) as Length[]).map((id) => ({ id, label: m[id] }))}
        />
        <TextField label={m.reason} rows={2} value={justification} onChange={setReason} maxLength={1000} />
      </div>
      {write && (
        <ReviewDialog
          title={m.addEligible}
          writes={[write]}
          confirm={role && principal ? m.assign(role.properties.roleName, principal.name) : m.assignEmpty}
          done={m.added}
          onClose={() => setWrite(undefined)}
          onDone={onClose}
        />
      )}
    </SidePanel>
  )
}
