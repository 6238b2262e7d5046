import { useState } from 'react'
import { Form } from 'react-aria-components'
import { wasDismissed } from '../api/passkey.ts'
import { beginPasskey, finishPasskey } from '../api/queries/auth.ts'
import { messages } from '../app/i18n.ts'
import { useUnsaved } from '../app/unsaved.ts'
import { Button } from '../ui/Button.tsx'
import { Dialog } from '../ui/Dialog.tsx'
import { TextField } from '../ui/TextField.tsx'
import { ReviewDialog } from './ReviewDialog.tsx'

const m = messages({
  addTitle: { en: 'Add a passkey', ja: 'パスキーの追加' },
  addLabel: { en: 'Name of the passkey', ja: 'パスキーの名前' },
  addHint: {
    en: 'So that you recognise it later: the device it is on.',
    ja: '後で区別できるように、保存先のデバイスなどを入力します。',
  },
  cancel: { en: 'Cancel', ja: 'キャンセル' },
  review: { en: 'Review the effect', ja: '影響を確認' },
  addThen: {
    en: 'Your browser asks you to make the passkey. From then on it signs you in.',
    ja: 'ブラウザーの指示に従ってパスキーを作成します。以後、このパスキーでサインインできます。',
  },
  create: { en: 'Create the passkey', ja: 'パスキーを作成' },
  addDone: { en: 'The passkey was added.', ja: 'パスキーを追加しました。' },
})

export function AddPasskey({ onClose }: { onClose: () => void }) {
  const [label, setLabel] = useState('')
  const [review, setReview] = useState(false)
  const close = useUnsaved(label !== '', onClose)
  const begin = beginPasskey(label.trim())
  return (
    <Dialog title={m.addTitle} onClose={close}>
      <Form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          setReview(true)
        }}
      >
        <TextField
          label={m.addLabel}
          value={label}
          onChange={setLabel}
          hint={m.addHint}
          isRequired
          autoFocus
          maxLength={64}
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
          title={m.addTitle}
          writes={[begin]}
          follows={[m.addThen]}
          run={async (send) => send(await finishPasskey(label.trim(), await send(begin)))}
          confirm={m.create}
          done={m.addDone}
          isNoError={wasDismissed}
          onClose={() => setReview(false)}
          onDone={onClose}
        />
      )}
    </Dialog>
  )
}
