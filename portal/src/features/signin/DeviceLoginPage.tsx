import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { Form } from 'react-aria-components'
import { decideDevice, inspectDevice } from '../../api/queries/auth.ts'
import type { Session } from '../../api/types.ts'
import { ago } from '../../app/format.ts'
import { Button } from '../../ui/Button.tsx'
import { ErrorNote } from '../../ui/ErrorNote.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { Consent } from './Consent.tsx'
import { m } from './consentMessages.ts'
import { Frame } from './Frame.tsx'
import { SignedIn } from './SignedIn.tsx'

/** Where the code is typed that `az login --use-device-code` shows. It is never in the address: links are for phishing. */
export default function DeviceLoginPage() {
  return (
    <Frame>
      <SignedIn>{(session, again) => <Device session={session} onAgain={again} />}</SignedIn>
    </Frame>
  )
}

function Device({ session, onAgain }: { session: Session; onAgain: (why: string) => void }) {
  const [code, setCode] = useState('')
  const look = useMutation({ mutationFn: () => inspectDevice(code) })
  const decision = useMutation({ mutationFn: (allow: boolean) => decideDevice(code, allow) })
  if (decision.isSuccess) {
    const [title, why] = decision.variables ? [m.allowed, m.allowedWhy] : [m.declined, m.declinedWhy]
    return (
      <>
        <h1 className="text-2xl font-semibold tracking-tight">{title}</h1>
        <p className="mt-2 text-sm text-ink-2">{why}</p>
      </>
    )
  }
  if (look.data) {
    const { ipAddress, sameAddress, userAgent, startedAt } = look.data
    return (
      <Consent
        session={session}
        asked={look.data}
        facts={[
          [m.address, sameAddress ? m.sameAddress(ipAddress) : m.otherAddress(ipAddress)],
          [m.agent, userAgent],
          [m.started, ago(startedAt)],
        ]}
        warning={`${m.rights} ${m.phishing}`}
        pending={decision.isPending}
        error={decision.error}
        onDecide={decision.mutate}
        onAgain={onAgain}
      />
    )
  }
  return (
    <>
      <h1 className="text-2xl font-semibold tracking-tight">{m.device}</h1>
      <p className="mt-2 mb-6 text-sm text-ink-2">{m.deviceWhy}</p>
      <Form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          look.mutate()
        }}
      >
        <TextField
          label={m.code}
          hint={m.codeHint}
          value={code}
          onChange={setCode}
          autoComplete="off"
          isRequired
          autoFocus
          mono
        />
        <Button type="submit" variant="primary" size="lg" isPending={look.isPending}>
          {m.next}
        </Button>
        {look.error && <ErrorNote error={look.error} />}
        <p className="text-xs text-ink-2">{m.phishing}</p>
      </Form>
    </>
  )
}
