import { useQuery, useQueryClient } from '@tanstack/react-query'
import { getRouteApi, useRouter } from '@tanstack/react-router'
import { Fingerprint } from 'lucide-react'
import { useState } from 'react'
import { passkeysSupported } from '../../api/passkey.ts'
import { signOut } from '../../api/client.ts'
import { authQueries } from '../../api/queries/auth.ts'
import type { Session } from '../../api/types.ts'
import { AddPasskey } from '../../parts/AddPasskey.tsx'
import { Button } from '../../ui/Button.tsx'
import { Toasts } from '../../ui/Toasts.tsx'
import { Frame } from './Frame.tsx'
import { m } from './messages.ts'
import { Missing, wantsPasskey } from './Missing.tsx'
import { safeReturn } from './safeReturn.ts'
import { SignInForm } from './SignInForm.tsx'

const route = getRouteApi('/step-up')

/** Between signing in and the portal: a policy asks for more than was proved. */
export default function StepUpPage() {
  const client = useQueryClient()
  const router = useRouter()
  const search = route.useSearch()
  const { data: session } = useQuery(authQueries.session())
  const { data: credentials = [] } = useQuery(authQueries.credentials())
  const [adding, setAdding] = useState(false)

  const onSignedIn = (now: Session) => {
    client.setQueryData(authQueries.session().queryKey, now)
    router.history.push(safeReturn(search.return))
  }
  const leave = async () => {
    await signOut()
    location.assign('/signin')
  }
  const missing = session?.missing
  return (
    <Frame>
      <h1 className="mb-7 text-2xl font-semibold tracking-tight">{m.stepUp}</h1>
      <div className="flex flex-col gap-5">
        {missing && <Missing proof={missing} />}
        {missing && wantsPasskey(missing, credentials) && passkeysSupported() ? (
          <>
            <p className="text-sm text-ink-2">{m.stepUpRegister}</p>
            <Button variant="primary" size="lg" onPress={() => setAdding(true)}>
              <Fingerprint size={18} aria-hidden />
              {m.createPasskey}
            </Button>
          </>
        ) : (
          <SignInForm onSignedIn={onSignedIn} />
        )}
        <Button variant="ghost" onPress={() => void leave()}>
          {m.signOut}
        </Button>
      </div>
      {adding && <AddPasskey onClose={() => setAdding(false)} />}
      <Toasts />
    </Frame>
  )
}
