import { useState } from 'react'
import { Form } from 'react-aria-components'
import type { DesktopTarget } from '../../domain/bastion.ts'
import { Button } from '../../ui/Button.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { Refusal } from '../Refusal.tsx'
import { m } from './messages.ts'

type Props = { target: DesktopTarget; name: string; error?: unknown; onBegin: (password: string) => void }

/** The password, once. It is asked for here and not in the portal, so that it never passes from one document to another. */
export function LoginForm({ target, name, error, onBegin }: Props) {
  const [password, setPassword] = useState('')
  const isVnc = target.protocol === 'vnc'
  return (
    <Form
      className="m-auto flex w-full max-w-sm flex-col gap-4 rounded-lg border border-line bg-surface p-6"
      onSubmit={(event) => {
        event.preventDefault()
        setPassword('')
        onBegin(password)
      }}
    >
      <header>
        <h1 className="text-base font-medium">{m.signIn(name)}</h1>
        <p className="text-sm text-ink-2">{m.by(target.protocol.toUpperCase())}</p>
      </header>
      {error !== undefined && <Refusal error={error} />}
      <TextField
        label={m.password}
        hint={isVnc ? m.vncWhy : m.passwordWhy}
        type="password"
        autoComplete="off"
        value={password}
        onChange={setPassword}
        isRequired={!isVnc}
        autoFocus
      />
      <Button type="submit" variant="primary">
        {m.connect}
      </Button>
    </Form>
  )
}
