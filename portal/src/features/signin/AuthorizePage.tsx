import { useMutation, useQuery } from '@tanstack/react-query'
import { Terminal } from 'lucide-react'
import { useEffect, useRef } from 'react'
import { decideAuthorization, inspectAuthorization } from '../../api/queries/auth.ts'
import type { AuthorizationAnswer, Session } from '../../api/types.ts'
import { authorizationQuery } from '../../app/authorizationQuery.ts'
import { Section } from '../../parts/Section.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Consent } from './Consent.tsx'
import { m } from './consentMessages.ts'
import { Frame } from './Frame.tsx'
import { SignedIn } from './SignedIn.tsx'

/** Where `az login` sends the browser. */
export default function AuthorizePage() {
  return (
    <Frame>
      {authorizationQuery === '' ? (
        <EmptyState icon={<Terminal size={20} aria-hidden />} title={m.nothing}>
          {m.nothingWhy}
        </EmptyState>
      ) : (
        <SignedIn>{(session, again) => <Decision session={session} onAgain={again} />}</SignedIn>
      )}
    </Frame>
  )
}

function Decision({ session, onAgain }: { session: Session; onAgain: (why: string) => void }) {
  const asked = useQuery({
    queryKey: ['authorization-request', session.sessionId, session.auth.at],
    queryFn: () => inspectAuthorization(authorizationQuery),
    retry: false,
    gcTime: 0,
  })
  const decision = useMutation({
    mutationFn: (allow: boolean) => decideAuthorization(authorizationQuery, allow),
    onSuccess: (answer) => {
      if (!answer.fields) location.assign(answer.redirect)
    },
  })
  if (decision.data) return <GoingBack answer={decision.data} />
  return (
    <Section query={asked}>
      {(data) => (
        <Consent
          session={session}
          asked={data}
          facts={[[m.where, m.thisComputer(data.redirect)]]}
          warning={m.rights}
          pending={decision.isPending}
          error={decision.error}
          onDecide={decision.mutate}
          onAgain={onAgain}
        />
      )}
    </Section>
  )
}

/** The answer on its way: a form that posts itself, or the address that is being opened. */
function GoingBack({ answer }: { answer: AuthorizationAnswer }) {
  const form = useRef<HTMLFormElement>(null)
  useEffect(() => form.current?.submit(), [])
  return (
    <>
      <h1 className="text-2xl font-semibold tracking-tight">{m.going}</h1>
      <p className="mt-2 text-sm text-ink-2">{m.goingWhy}</p>
      {answer.fields && (
        <form ref={form} method="post" action={answer.redirect} className="mt-6">
          {Object.entries(answer.fields).map(([name, value]) => (
            <input key={name} type="hidden" name={name} value={value} />
          ))}
          <button type="submit" className="rounded text-sm text-accent underline underline-offset-4">
            {m.go}
          </button>
        </form>
      )}
    </>
  )
}
