import { useMutation } from '@tanstack/react-query'
import { Fingerprint } from 'lucide-react'
import { useEffect, useEffectEvent, useRef, useState } from 'react'
import { Form } from 'react-aria-components'
import { passkeysSupported, wasDismissed } from '../../api/passkey.ts'
import { signInWithPasskey, signInWithPassword } from '../../api/queries/auth.ts'
import type { Session } from '../../api/types.ts'
import { Button } from '../../ui/Button.tsx'
import { ErrorNote } from '../../ui/ErrorNote.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'

export function SignInForm({ onSignedIn }: { onSignedIn: (session: Session) => void }) {
  const [user, setUser] = useState('')
  const [password, setPassword] = useState('')
  const [code, setCode] = useState('')
  const [withPassword, setWithPassword] = useState(!passkeysSupported())
  const offer = useRef<AbortController>(null)
  const signedIn = useEffectEvent(onSignedIn)

  // The browser offers known passkeys inside the user-name field; this waits until one is picked or the form goes away.
  useEffect(() => {
    const controller = new AbortController()
    offer.current = controller
    const wait = async () => {
      if (!passkeysSupported() || !(await PublicKeyCredential.isConditionalMediationAvailable?.())) return
      if (controller.signal.aborted) return
      signedIn(await signInWithPasskey({ conditional: true, signal: controller.signal }))
    }
    // A failed offer is silent: the person has not asked for anything yet, and the button below reports.
    wait().catch(() => undefined)
    return () => controller.abort()
  }, [])

  const passkey = useMutation({
    mutationFn: () => {
      offer.current?.abort()
      return signInWithPasskey()
    },
    onSuccess: onSignedIn,
  })
  const byPassword = useMutation({
    mutationFn: () => signInWithPassword(user.trim(), password, code.trim()),
    onSuccess: onSignedIn,
  })
  const error = withPassword ? byPassword.error : passkey.error

  return (
    <div className="flex flex-col gap-4">
      {passkeysSupported() ? (
        <Button variant="primary" size="lg" isPending={passkey.isPending} onPress={() => passkey.mutate()}>
          <Fingerprint size={18} aria-hidden />
          {m.passkey}
        </Button>
      ) : (
        <p className="text-sm text-ink-2">{m.noPasskey}</p>
      )}
      <div className="flex items-center gap-3 text-xs text-ink-3">
        <span className="h-px flex-1 bg-line" />
        {m.or}
        <span className="h-px flex-1 bg-line" />
      </div>
      <Form
        className="flex flex-col gap-3"
        onSubmit={(event) => {
          event.preventDefault()
          if (withPassword) byPassword.mutate()
          else setWithPassword(true)
        }}
      >
        <TextField
          label={m.user}
          name="username"
          autoComplete="username webauthn"
          value={user}
          onChange={setUser}
          isRequired={withPassword}
        />
        {withPassword && (
          <>
            <TextField
              label={m.password}
              type="password"
              name="password"
              autoComplete="current-password"
              value={password}
              onChange={setPassword}
              isRequired
              autoFocus={user !== ''}
            />
            <TextField
              label={m.code}
              hint={m.codeHint}
              name="code"
              autoComplete="one-time-code"
              value={code}
              onChange={setCode}
              isRequired
              mono
            />
          </>
        )}
        <Button type="submit" size="lg" isPending={byPassword.isPending}>
          {withPassword ? m.signIn : m.byPassword}
        </Button>
      </Form>
      {error && !wasDismissed(error) && <ErrorNote error={error} />}
    </div>
  )
}
