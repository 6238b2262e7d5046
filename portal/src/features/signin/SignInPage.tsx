import { useQuery, useQueryClient } from '@tanstack/react-query'
import { getRouteApi, useRouter } from '@tanstack/react-router'
import { Flag } from 'lucide-react'
import { useState } from 'react'
import { authQueries } from '../../api/queries/auth.ts'
import type { Session } from '../../api/types.ts'
import { takeSetupToken } from '../../app/setupToken.ts'
import { Button } from '../../ui/Button.tsx'
import { AccessPassForm } from './AccessPassForm.tsx'
import { Frame } from './Frame.tsx'
import { m } from './messages.ts'
import { safeReturn } from './safeReturn.ts'
import { SignInForm } from './SignInForm.tsx'

const route = getRouteApi('/signin')

export default function SignInPage() {
  const client = useQueryClient()
  const router = useRouter()
  const search = route.useSearch()
  const { data: state } = useQuery(authQueries.state())

  const [byPass, setByPass] = useState(false)

  const onOpened = (token: string) => {
    takeSetupToken(token)
    // Of an earlier link, perhaps.
    client.removeQueries({ queryKey: ['setup-link'] })
    void router.navigate({ to: '/setup' })
  }
  const onSignedIn = (session: Session) => {
    client.setQueryData(authQueries.session().queryKey, session)
    router.history.push(safeReturn(search.return))
  }

  return (
    <Frame>
      <h1 className="mb-7 text-2xl font-semibold tracking-tight">{m.title}</h1>
      {state?.firstRun ? (
        <div className="flex gap-3 rounded-lg border border-accent-line bg-accent-soft p-4">
          <Flag size={18} className="mt-0.5 shrink-0 text-accent" aria-hidden />
          <div>
            <p className="font-medium">{m.firstRun}</p>
            <p className="mt-1 text-sm text-ink-2">{m.firstRunHow}</p>
          </div>
        </div>
      ) : (
        <div className="flex flex-col gap-4">
          {byPass ? <AccessPassForm onOpened={onOpened} /> : <SignInForm onSignedIn={onSignedIn} />}
          <Button variant="ghost" onPress={() => setByPass(!byPass)}>
            {byPass ? m.passNot : m.passUse}
          </Button>
        </div>
      )}
    </Frame>
  )
}
