import { CircleCheck, CircleX } from 'lucide-react'
import type { Explanation } from '../../api/types.ts'
import { useScope } from '../../app/scope.ts'
import { usePrincipalNames } from '../../parts/usePrincipalNames.ts'
import { Card } from '../../ui/Card.tsx'
import { PropertyList } from '../../ui/PropertyList.tsx'
import { m } from './messages.ts'
import { scopeText } from './scopeText.ts'

export function ExplanationAnswer({ explanation }: { explanation: Explanation }) {
  const { session } = useScope()
  const { nameOf } = usePrincipalNames()
  const { allowed, assignment, message } = explanation
  const Icon = allowed ? CircleCheck : CircleX
  return (
    <Card>
      <div className="flex flex-col gap-4">
        <p className="flex items-center gap-2 text-base font-semibold">
          <Icon size={18} className={allowed ? 'text-ok' : 'text-crit'} aria-hidden />
          {allowed ? m.yes : m.no}
        </p>
        {assignment && (
          <PropertyList
            items={[
              [m.role, assignment.roleName],
              [m.scope, scopeText(assignment.scope, session.subscriptions)],
              [m.principal, assignment.via ? m.via(nameOf(assignment.via)) : nameOf(assignment.principalId ?? '')],
            ]}
          />
        )}
        <p className="font-mono text-xs break-words text-ink-2">{message}</p>
      </div>
    </Card>
  )
}
