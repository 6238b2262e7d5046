import { useState } from 'react'
import { Form } from 'react-aria-components'
import { addSecret, createApplication, createServicePrincipal } from '../../api/queries/directory.ts'
import type { Application, PasswordCredential } from '../../api/types.ts'
import { type Write } from '../../api/writes.ts'
import { useUnsaved } from '../../app/unsaved.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Button } from '../../ui/Button.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'
import { endOf, type SecretDraft, SecretFields } from './SecretFields.tsx'
import { SecretShown } from './SecretShown.tsx'

type Made = { application: Application; secret: PasswordCredential }
type Review = { create: Write<Application> } | { secret: Write<PasswordCredential>; application: Application }

const initial: SecretDraft = { name: 'initial', days: '90' }

export function CreatePanel({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState('')
  const [draft, setDraft] = useState(initial)
  // When only the secret fails, a second try must not make a second principal.
  const [application, setApplication] = useState<Application>()
  const [review, setReview] = useState<Review>()
  const [made, setMade] = useState<Made>()
  const close = useUnsaved(!made && (name !== '' || draft !== initial), onClose)
  const secretOf = (of: Application) => addSecret(of, draft.name.trim(), endOf(draft))

  if (made) {
    return (
      <SidePanel
        title={name}
        onClose={onClose}
        footer={
          <Button variant="primary" onPress={onClose}>
            {m.done}
          </Button>
        }
      >
        <SecretShown secret={made.secret} appId={made.application.appId} />
      </SidePanel>
    )
  }
  return (
    <SidePanel title={m.create} subtitle={m.subtitle} onClose={close}>
      <Form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          setReview(
            application ? { secret: secretOf(application), application } : { create: createApplication(name.trim()) },
          )
        }}
      >
        <TextField
          label={m.name}
          value={name}
          onChange={setName}
          isRequired
          isReadOnly={application !== undefined}
          autoFocus
        />
        <SecretFields draft={draft} onChange={setDraft} />
        <div className="flex justify-end gap-2">
          <Button onPress={close}>{m.cancel}</Button>
          <Button type="submit" variant="primary">
            {m.review}
          </Button>
        </div>
      </Form>
      {review && (
        <ReviewDialog<Made>
          title={m.create}
          writes={['create' in review ? review.create : review.secret]}
          follows={'create' in review ? [m.thenPrincipal(name), m.thenSecret(draft.name, draft.days)] : []}
          run={async (send) => {
            if ('secret' in review) return { application: review.application, secret: await send(review.secret) }
            const fresh = application ?? (await send(review.create))
            if (!application) await send(createServicePrincipal(fresh))
            setApplication(fresh)
            return { application: fresh, secret: await send(secretOf(fresh)) }
          }}
          confirm={m.create}
          done={m.made(name)}
          onClose={() => setReview(undefined)}
          onDone={setMade}
        />
      )}
    </SidePanel>
  )
}
