import { useEffect } from 'react'
import { checkSession } from '../../api/client.ts'
import { Dialog } from '../../ui/Dialog.tsx'
import { m } from './messages.ts'
import { SignInForm } from './SignInForm.tsx'

const lookEveryMs = 4_000

/** Lies over the page when the session ends, so that a half-filled form is not lost. A sign-in in another tab ends it. */
export default function SignInAgain({ onSignedIn }: { onSignedIn: () => void }) {
  useEffect(() => {
    const look = () => void checkSession().catch(() => undefined)
    const timer = setInterval(look, lookEveryMs)
    addEventListener('focus', look)
    return () => {
      clearInterval(timer)
      removeEventListener('focus', look)
    }
  }, [])
  return (
    <Dialog title={m.again} subtitle={m.againWhy}>
      <SignInForm onSignedIn={onSignedIn} />
    </Dialog>
  )
}
