import { useMutation } from '@tanstack/react-query'
import { Fingerprint } from 'lucide-react'
import { useEffect, useEffectEvent, useRef, useState } from 'react'
import { Form } from 'react-aria-components'
import { ApiError } from '../../api/errors.ts'
import { wasDismissed } from '../../api/passkey.ts'
import { confirmOperation } from '../../api/queries/auth.ts'
import type { Question } from '../../app/stepUp.ts'
import { Button } from '../../ui/Button.tsx'
import { Dialog } from '../../ui/Dialog.tsx'
import { ErrorNote } from '../../ui/ErrorNote.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m, reasons } from './stepUpMessages.ts'

/** A wrong code is typed again; every other refusal has spent the question. */
const spent = (error: unknown, byPasskey: boolean) =>
  error instanceof ApiError && (byPasskey || !['InvalidCredentials', 'TooManyAttempts'].includes(error.code))

/** Over whatever the person is doing: one operation that must be proved to be theirs. */
export default function StepUpDialog({ question: { asked, approve, refuse } }: { question: Question }) {
  const [password, setPassword] = useState('')
  const [code, setCode] = useState('')
  const byPasskey = asked.method === 'passkey'
  // A browser answers one request at a time: the one before must not go on waiting.
  const waiting = useRef<AbortController>(null)
  const confirm = useMutation({
    mutationFn: () => {
      waiting.current?.abort()
      waiting.current = new AbortController()
      return confirmOperation(asked, { password, code: code.trim() }, waiting.current.signal)
    },
    onSuccess: ({ approval }) => approve(approval),
  })
  // The browser's own dialog comes at once; the button is for whoever closed it.
  const start = useEffectEvent(() => byPasskey && confirm.mutate())
  useEffect(() => {
    start()
    return () => waiting.current?.abort()
  }, [])

  const stop = () => refuse(new ApiError(403, { error: { code: 'NotConfirmed', message: '' } }))
  const over = spent(confirm.error, byPasskey)
  const asking = byPasskey && confirm.isPending
  return (
    <Dialog
      title={byPasskey ? m.withPasskey : m.withPassword}
      subtitle={m.why}
      onClose={stop}
      role="alertdialog"
      footer={
        <>
          <Button onPress={stop}>{m.cancel}</Button>
          {!over && !asking && (
            <Button
              variant="primary"
              isPending={confirm.isPending}
              {...(byPasskey ? { onPress: () => confirm.mutate() } : { type: 'submit', form: 'step-up' })}
            >
              <Fingerprint size={15} aria-hidden />
              {m.confirm}
            </Button>
          )}
        </>
      }
    >
      <div className="flex flex-col gap-4">
        <p className="text-sm font-medium">{reasons[asked.reason]}</p>
        <p className="font-mono text-xs break-all text-ink-2">{asked.target}</p>
        {asking && (
          <p role="status" className="text-sm text-ink-2">
            {m.waiting}
          </p>
        )}
        {!byPasskey && (
          <Form
            id="step-up"
            className="flex flex-col gap-3"
            onSubmit={(event) => {
              event.preventDefault()
              confirm.mutate()
            }}
          >
            <TextField
              label={m.password}
              type="password"
              autoComplete="current-password"
              value={password}
              onChange={setPassword}
              isRequired
              autoFocus
            />
            <TextField
              label={m.code}
              hint={m.codeHint}
              autoComplete="one-time-code"
              value={code}
              onChange={setCode}
              isRequired
              mono
            />
          </Form>
        )}
        {confirm.error && !wasDismissed(confirm.error) && <ErrorNote error={confirm.error} />}
      </div>
    </Dialog>
  )
}
