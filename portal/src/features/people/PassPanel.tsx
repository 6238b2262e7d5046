import { useState } from 'react'
import { Form } from 'react-aria-components'
import { issuePass } from '../../api/queries/directory.ts'
import type { AccessPass, User } from '../../api/types.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Button } from '../../ui/Button.tsx'
import { CodeBlock } from '../../ui/CodeBlock.tsx'
import { Select } from '../../ui/Select.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { m } from './messages.ts'

/** Gives somebody who can sign in with nothing a pass to read out: it lets them register, once. */
export function PassPanel({ user, onClose }: { user: User; onClose: () => void }) {
  const [minutes, setMinutes] = useState('60')
  const [review, setReview] = useState(false)
  const [pass, setPass] = useState<AccessPass>()
  const lives = { '10': m.minutes10, '60': m.hour1, '480': m.hours8, '1440': m.hours24 }
  const close = (
    <Button variant="primary" onPress={onClose}>
      {m.close}
    </Button>
  )

  if (pass) {
    return (
      <SidePanel title={m.passTitle} subtitle={user.displayName} onClose={onClose} footer={close}>
        <div className="flex flex-col gap-3">
          <p className="text-sm">{m.passWhy(user.displayName)}</p>
          <CodeBlock label={m.passTitle} copyLabel={m.copy} code={pass.temporaryAccessPass ?? ''} />
        </div>
      </SidePanel>
    )
  }
  return (
    <SidePanel title={m.pass} subtitle={user.displayName} onClose={onClose}>
      <Form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          setReview(true)
        }}
      >
        <Select
          label={m.passLives}
          value={minutes}
          onChange={setMinutes}
          options={Object.entries(lives).map(([id, label]) => ({ id, label }))}
        />
        <div className="flex justify-end gap-2">
          <Button onPress={onClose}>{m.cancel}</Button>
          <Button type="submit" variant="primary">
            {m.review}
          </Button>
        </div>
      </Form>
      {review && (
        <ReviewDialog<AccessPass>
          title={m.pass}
          writes={[issuePass(user, Number(minutes))]}
          run={(send) => send(issuePass(user, Number(minutes)))}
          confirm={m.passMake}
          done={m.done}
          onClose={() => setReview(false)}
          onDone={setPass}
        >
          <p className="text-sm">{m.passThen(user.displayName)}</p>
        </ReviewDialog>
      )}
    </SidePanel>
  )
}
