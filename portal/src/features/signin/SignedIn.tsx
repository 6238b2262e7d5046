import { useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { authQueries } from '../../api/queries/auth.ts'
import type { Session } from '../../api/types.ts'
import { Skeleton } from '../../ui/Skeleton.tsx'
import { m } from './consentMessages.ts'
import { Missing } from './Missing.tsx'
import { SignInForm } from './SignInForm.tsx'

/** What only a signed-in person sees; everybody else signs in right here, because what they came for is in the address. */
export function SignedIn({ children }: { children: (session: Session, again: (why: string) => void) => ReactNode }) {
  const client = useQueryClient()
  const session = useQuery(authQueries.session())
  const [again, setAgain] = useState<string>()
  if (session.isPending) return <Skeleton className="h-60" />
  const missing = session.data?.missing
  if (session.data && !missing && again === undefined) return children(session.data, setAgain)
  return (
    <>
      <h1 className="mb-2 text-2xl font-semibold tracking-tight">{m.signIn}</h1>
      {missing ? (
        <div className="mb-6">
          <Missing proof={missing} />
        </div>
      ) : (
        <p className="mb-6 text-sm text-ink-2">{again}</p>
      )}
      <SignInForm
        onSignedIn={(fresh) => {
          client.setQueryData(authQueries.session().queryKey, fresh)
          setAgain(undefined)
        }}
      />
    </>
  )
}
