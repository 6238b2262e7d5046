import { useMutation } from '@tanstack/react-query'
import { useEffect, useRef, useState } from 'react'
import { Form } from 'react-aria-components'
import { finishPasswordSetup } from '../../api/queries/auth.ts'
import type { PasswordSetup, SetupDone } from '../../api/types.ts'
import { Button } from '../../ui/Button.tsx'
import { CopyButton } from '../../ui/CopyButton.tsx'
import { ErrorNote } from '../../ui/ErrorNote.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'

type Props = { setup: PasswordSetup; onDone: (done: SetupDone) => void; onBack: () => void }

export function AuthenticatorStep({ setup, onDone, onBack }: Props) {
  const [code, setCode] = useState('')
  const finish = useMutation({ mutationFn: () => finishPasswordSetup(setup.ceremony, code.trim()), onSuccess: onDone })
  return (
    <Form
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault()
        finish.mutate()
      }}
    >
      <p className="text-sm">{m.scan}</p>
      <QrImage svg={setup.qrSvg} />
      <div>
        <p className="text-xs font-medium text-ink-2">{m.secret}</p>
        <p className="flex items-center gap-1 font-mono text-xs break-all">
          {setup.secret}
          <CopyButton text={setup.secret} label={m.copy} />
        </p>
      </div>
      <TextField
        label={m.codeNow}
        value={code}
        onChange={setCode}
        autoComplete="one-time-code"
        inputMode="numeric"
        mono
        isRequired
        autoFocus
      />
      {finish.error && <ErrorNote error={finish.error} />}
      <div className="flex gap-2">
        <Button onPress={onBack}>{m.back}</Button>
        <Button type="submit" variant="primary" className="flex-1" isPending={finish.isPending}>
          {m.finish}
        </Button>
      </div>
    </Form>
  )
}

/** An <img> of a blob: the policy allows no markup from strings. */
function QrImage({ svg }: { svg: string }) {
  const image = useRef<HTMLImageElement>(null)
  useEffect(() => {
    const url = URL.createObjectURL(new Blob([svg], { type: 'image/svg+xml' }))
    if (image.current) image.current.src = url
    return () => URL.revokeObjectURL(url)
  }, [svg])
  return <img ref={image} alt={m.qr} width={200} height={200} className="rounded-lg border border-line bg-white p-2" />
}
