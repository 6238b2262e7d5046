import { TriangleAlert } from 'lucide-react'
import type { ReactNode } from 'react'
import type { Session } from '../../api/types.ts'
import { Button } from '../../ui/Button.tsx'
import { ErrorNote } from '../../ui/ErrorNote.tsx'
import { PropertyList } from '../../ui/PropertyList.tsx'
import { m } from './consentMessages.ts'

type Asked = {
  clientId: string
  clientName?: string | null
  resources: string[]
  offline: boolean
  needsFreshSignIn: boolean
}

/** Who asks for what, and the person's yes or no. */
export function Consent({
  session,
  asked,
  facts,
  warning,
  pending,
  error,
  onDecide,
  onAgain,
}: {
  session: Session
  asked: Asked
  facts: [label: string, value: ReactNode][]
  warning: string
  pending: boolean
  error: unknown
  onDecide: (allow: boolean) => void
  onAgain: (why: string) => void
}) {
  return (
    <div className="flex flex-col gap-5">
      <h1 className="text-2xl font-semibold tracking-tight text-balance">{m.title(asked.clientName ?? m.unknown)}</h1>
      <PropertyList
        items={[
          [m.you, `${session.person.displayName} (${session.person.userPrincipalName})`],
          [
            m.client,
            <>
              {asked.clientName ?? m.unknown}
              <span className="block font-mono text-2xs text-ink-3">{asked.clientId}</span>
              <span className="block text-xs text-ink-3">{m.saysOnly}</span>
            </>,
          ],
          ...facts,
          [
            m.reaches,
            <span key="reaches" className="font-mono text-xs">
              {asked.resources.join(' ')}
            </span>,
          ],
          [m.stays, asked.offline ? m.offline : m.hour],
        ]}
      />
      <div className="flex gap-3 rounded-lg border border-med/40 bg-med-soft p-3 text-sm">
        <TriangleAlert size={16} className="mt-0.5 shrink-0 text-med" aria-hidden />
        <p>{warning}</p>
      </div>
      {error !== null && error !== undefined && <ErrorNote error={error} />}
      <div className="flex flex-wrap gap-2">
        {asked.needsFreshSignIn ? (
          <Button variant="primary" size="lg" onPress={() => onAgain(m.fresh)}>
            {m.signIn}
          </Button>
        ) : (
          <Button variant="primary" size="lg" isPending={pending} onPress={() => onDecide(true)}>
            {m.allow}
          </Button>
        )}
        <Button size="lg" onPress={() => onDecide(false)}>
          {m.decline}
        </Button>
        <Button variant="ghost" size="lg" onPress={() => onAgain('')}>
          {m.other}
        </Button>
      </div>
    </div>
  )
}
