import { useEffect, useState } from 'react'
import { checkSession } from '../../api/client.ts'
import { Dialog } from '../../ui/Dialog.tsx'
import { m } from './messages.ts'
import { Missing, type MissingProof } from './Missing.tsx'
import { SignInForm } from './SignInForm.tsx'

const lookEveryMs = 4_000

/** Lies over the page when the session ends, so that a half-filled form is not lost. A sign-in in another tab ends it. */
export default function SignInAgain({ onSignedIn }: { onSignedIn: () => void }) {
  const [missing, setMissing] = useState<MissingProof>()
  useEffect(() => {
    const look = () =>
      void checkSession()
        .then((session) => setMissing(session.missing))
        .catch(() => undefined)
    look()
    const timer = setInterval(look, lookEveryMs)
    addEventListener('focus', look)
    return () => {
      clearInterval(timer)
      removeEventListener('focus', look)
    }
  }, [])
  return (
    <Dialog title={missing ? m.stepUp : m.again} subtitle={missing ? m.stepUpHere : m.againWhy}>
      <div className="flex flex-col gap-5">
        {missing && <Missing proof={missing} />}
        <SignInForm onSignedIn={onSignedIn} />
      </div>
    </Dialog>
  )
}
