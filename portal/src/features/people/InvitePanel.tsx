import { useState } from 'react'
import { Form } from 'react-aria-components'
import { createUser, inviteUser } from '../../api/queries/directory.ts'
import type { Invitation, User } from '../../api/types.ts'
import type { Write } from '../../api/writes.ts'
import { ago } from '../../app/format.ts'
import { useUnsaved } from '../../app/unsaved.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Button } from '../../ui/Button.tsx'
import { CodeBlock } from '../../ui/CodeBlock.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'

type Review = { invite: Write<Invitation> } | { create: Write<User> }

/** Adds a person (or takes one who exists) and makes the one-time link that lets them set up their own sign-in. */
export function InvitePanel({ user, onClose }: { user?: User; onClose: () => void }) {
  const [name, setName] = useState(user?.displayName ?? '')
  const [userName, setUserName] = useState(user?.userPrincipalName ?? '')
  // When the link fails after the person was made, a second try must not make the person again.
  const [made, setMade] = useState(user)
  const [review, setReview] = useState<Review>()
  const [invitation, setInvitation] = useState<Invitation>()
  const close = useUnsaved(
    !invitation && (name !== (user?.displayName ?? '') || userName !== (user?.userPrincipalName ?? '')),
    onClose,
  )

  if (invitation) {
    return (
      <SidePanel
        title={m.linkTitle}
        subtitle={m.linkExpires(ago(invitation.expiresAt))}
        onClose={onClose}
        footer={
          <Button variant="primary" onPress={onClose}>
            {m.close}
          </Button>
        }
      >
        <div className="flex flex-col gap-3">
          <p className="text-sm">{m.linkWhy(name)}</p>
          <CodeBlock label={m.linkTitle} copyLabel={m.copy} code={invitation.link} />
        </div>
      </SidePanel>
    )
  }
  return (
    <SidePanel title={user ? m.invite : m.addPerson} onClose={close}>
      <Form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          setReview(made ? { invite: inviteUser(made) } : { create: createUser(name.trim(), userName.trim()) })
        }}
      >
        <TextField
          label={m.name}
          value={name}
          onChange={setName}
          isRequired
          isReadOnly={made !== undefined}
          autoFocus
        />
        <TextField
          label={m.user}
          value={userName}
          onChange={setUserName}
          isRequired
          isReadOnly={made !== undefined}
          placeholder="tanaka@example.com"
        />
        <div className="flex justify-end gap-2">
          <Button onPress={close}>{m.cancel}</Button>
          <Button type="submit" variant="primary">
            {m.review}
          </Button>
        </div>
      </Form>
      {review && (
        <ReviewDialog
          title={user ? m.invite : m.addPerson}
          writes={['invite' in review ? review.invite : review.create]}
          follows={'invite' in review ? [] : [m.thenLink(name)]}
          run={async (send) => {
            if ('invite' in review) return send(review.invite)
            const person = made ?? (await send(review.create))
            setMade(person)
            return send(inviteUser(person))
          }}
          confirm={'invite' in review ? m.invite : m.createInvite}
          done={m.done}
          onClose={() => setReview(undefined)}
          onDone={setInvitation}
        />
      )}
    </SidePanel>
  )
}
