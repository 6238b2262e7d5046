import { useState } from 'react'
import { Form } from 'react-aria-components'
import { plainText } from '../../domain/plainText.ts'
import { Button } from '../../ui/Button.tsx'
import { Dialog } from '../../ui/Dialog.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { Refusal } from '../Refusal.tsx'
import { type Change, changeFiles, type FilesAt } from './api.ts'
import { m } from './messages.ts'
import { isName, join } from './paths.ts'

export type Asked =
  | { what: 'mkdir'; folder: string }
  | { what: 'rename' | 'remove'; folder: string; name: string }
  | { what: 'replace'; names: string[]; onYes: () => void }

const titleOf = (asked: Asked) => {
  if (asked.what === 'mkdir') return m.newFolder
  if (asked.what === 'replace') return m.replaceTitle(asked.names.map(plainText).join(', '))
  return asked.what === 'rename' ? m.renameTitle(plainText(asked.name)) : m.removeTitle(plainText(asked.name))
}

type Props = { at: FilesAt; asked: Asked; onChanged: () => void; onClose: () => void }

export function ChangeDialog({ at, asked, onChanged, onClose }: Props) {
  const [name, setName] = useState(asked.what === 'rename' ? asked.name : '')
  const [error, setError] = useState<unknown>()
  const [isPending, setPending] = useState(false)
  const isNaming = asked.what === 'mkdir' || asked.what === 'rename'
  const bad = isNaming && name !== '' && !isName(name)

  const carryOut = async () => {
    if (asked.what === 'replace') {
      asked.onYes()
      return onClose()
    }
    const path = join(asked.folder, asked.what === 'mkdir' ? name : asked.name)
    const change: Change =
      asked.what === 'rename' ? { op: 'rename', path, to: join(asked.folder, name) } : { op: asked.what, path }
    setPending(true)
    try {
      await changeFiles(at, change)
      onChanged()
      onClose()
    } catch (why) {
      setError(why)
    }
    setPending(false)
  }

  const confirm = { mkdir: m.create, rename: m.save, remove: m.remove, replace: m.replace }[asked.what]
  return (
    <Dialog
      role={isNaming ? 'dialog' : 'alertdialog'}
      title={titleOf(asked)}
      onClose={isPending ? undefined : onClose}
      footer={
        <>
          <Button onPress={onClose} isDisabled={isPending}>
            {m.cancel}
          </Button>
          <Button
            variant={isNaming ? 'primary' : 'danger'}
            isPending={isPending}
            isDisabled={isNaming && (name === '' || bad)}
            {...(isNaming ? { type: 'submit', form: 'files-change' } : { onPress: () => void carryOut() })}
          >
            {confirm}
          </Button>
        </>
      }
    >
      {isNaming ? (
        <Form
          id="files-change"
          onSubmit={(event) => {
            event.preventDefault()
            if (!bad) void carryOut()
          }}
        >
          <TextField
            label={m.name}
            value={name}
            onChange={setName}
            error={bad ? m.badName : undefined}
            isRequired
            autoFocus
            mono
          />
        </Form>
      ) : (
        <p className="text-sm">{asked.what === 'replace' ? m.replaceWhy : m.removeWhy}</p>
      )}
      {error !== undefined && <Refusal error={error} />}
    </Dialog>
  )
}
