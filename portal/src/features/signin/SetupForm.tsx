import { useMutation } from '@tanstack/react-query'
import { Fingerprint } from 'lucide-react'
import { useState } from 'react'
import { Form } from 'react-aria-components'
import { ApiError } from '../../api/errors.ts'
import { passkeysSupported, wasDismissed } from '../../api/passkey.ts'
import { beginPasswordSetup, setUpPasskey } from '../../api/queries/auth.ts'
import type { SetupDone, SetupLink } from '../../api/types.ts'
import { Button } from '../../ui/Button.tsx'
import { ErrorNote } from '../../ui/ErrorNote.tsx'
import { Segments } from '../../ui/Segments.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { AuthenticatorStep } from './AuthenticatorStep.tsx'
import { m } from './messages.ts'

type Props = { token: string; link: SetupLink; onDone: (done: SetupDone) => void }

export function SetupForm({ token, link, onDone }: Props) {
  const [user, setUser] = useState(link.userPrincipalName ?? '')
  const [name, setName] = useState(link.displayName ?? '')
  const [method, setMethod] = useState<'passkey' | 'password'>(passkeysSupported() ? 'passkey' : 'password')
  const [password, setPassword] = useState('')
  const person = { token, userPrincipalName: user.trim(), displayName: name.trim() }

  const passkey = useMutation({ mutationFn: () => setUpPasskey(person), onSuccess: onDone })
  const begin = useMutation({ mutationFn: () => beginPasswordSetup(person, password) })
  if (begin.data) return <AuthenticatorStep setup={begin.data} onDone={onDone} onBack={begin.reset} />

  const weak = begin.error instanceof ApiError && begin.error.target === 'password' ? begin.error.message : undefined
  const error = method === 'passkey' ? passkey.error : begin.error
  return (
    <Form
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault()
        if (method === 'passkey') passkey.mutate()
        else begin.mutate()
      }}
    >
      <TextField
        label={m.user}
        value={user}
        onChange={setUser}
        isRequired
        isReadOnly={link.userPrincipalName !== undefined}
        autoComplete="username"
        placeholder="tanaka@example.com"
      />
      <TextField label={m.displayName} value={name} onChange={setName} isRequired autoComplete="name" />
      <Segments
        label={m.method}
        value={method}
        onChange={setMethod}
        options={[
          { id: 'passkey', label: m.methodPasskey },
          { id: 'password', label: m.methodPassword },
        ]}
      />
      {method === 'passkey' ? (
        <p className="text-sm text-ink-2">{passkeysSupported() ? m.passkeyWhy : m.noPasskey}</p>
      ) : (
        <TextField
          label={m.password}
          type="password"
          autoComplete="new-password"
          value={password}
          onChange={setPassword}
          hint={m.passwordHint}
          error={weak}
          isRequired
        />
      )}
      {error && !weak && !wasDismissed(error) && <ErrorNote error={error} />}
      <Button
        type="submit"
        variant="primary"
        size="lg"
        isPending={passkey.isPending || begin.isPending}
        isDisabled={method === 'passkey' && !passkeysSupported()}
      >
        {method === 'passkey' ? (
          <>
            <Fingerprint size={18} aria-hidden />
            {m.createPasskey}
          </>
        ) : (
          m.next
        )}
      </Button>
    </Form>
  )
}
