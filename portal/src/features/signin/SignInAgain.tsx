import { useQueryClient } from '@tanstack/react-query'
import { authQueries } from '../../api/queries/auth.ts'
import type { Session } from '../../api/types.ts'
import { Dialog } from '../../ui/Dialog.tsx'
import { m } from './messages.ts'
import { SignInForm } from './SignInForm.tsx'

/** Lies over the page when the session ends, so that a half-filled form is not lost. */
export default function SignInAgain({ onSignedIn }: { onSignedIn: () => void }) {
  const client = useQueryClient()
  const accept = (session: Session) => {
    client.setQueryData(authQueries.session().queryKey, session)
    onSignedIn()
  }
  return (
    <Dialog title={m.again} subtitle={m.againWhy}>
      <SignInForm onSignedIn={accept} />
    </Dialog>
  )
}
