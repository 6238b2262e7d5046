import { lazy, type ReactNode, Suspense, useEffect, useEffectEvent, useState } from 'react'
import { checkSession, onSignedIn } from '../api/client.ts'
import type { Session } from '../api/types.ts'
import { useStepUp } from '../app/stepUp.ts'
import { Refusal } from './Refusal.tsx'

const StepUpDialog = lazy(() => import('../features/signin/StepUpDialog.tsx'))
const SignInAgain = lazy(() => import('../features/signin/SignInAgain.tsx'))

export type Person = Session['person']

/**
 * The portal's sign-in, in a document without the portal: what asks to be signed in or to confirm something lies over
 * what is there, and what is there stays.
 */
export function SignedIn({ children }: { children: (person: Person) => ReactNode }) {
  const [person, setPerson] = useState<Person>()
  const [isOut, setOut] = useState(false)
  const [error, setError] = useState<unknown>()
  const stepUp = useStepUp()
  const onSession = useEffectEvent((session: Session | undefined) => {
    setError(undefined)
    if (!session) return setOut(true)
    // What is open belongs to whoever opened it.
    if (person && person.id !== session.person.id) return location.reload()
    setPerson(session.person)
    setOut(false)
  })
  const ask = useEffectEvent(() => void checkSession().catch((why: unknown) => !isOut && setError(why)))
  useEffect(() => {
    const stop = onSignedIn(onSession)
    ask()
    return stop
  }, [])
  return (
    <>
      {person ? children(person) : error !== undefined && !isOut && <Refusal error={error} onRetry={() => ask()} />}
      <Suspense>
        {stepUp && <StepUpDialog key={stepUp.asked.ceremony} question={stepUp} />}
        {isOut && <SignInAgain onSignedIn={() => void checkSession()} />}
      </Suspense>
    </>
  )
}
