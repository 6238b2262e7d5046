import { useState } from 'react'
import { guard } from '../../api/queries/jit.ts'
import type { JitPolicy } from '../../api/types.ts'
import type { Guarded } from '../../domain/access.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { spanText, usualSpans } from '../../parts/spanText.ts'
import { Button } from '../../ui/Button.tsx'
import { Dialog } from '../../ui/Dialog.tsx'
import { Select } from '../../ui/Select.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'

type Props = { machine: Guarded; policies: JitPolicy[]; onClose: () => void }

/** A port that is to be closed until somebody asks for it. */
export function GuardDialog({ machine, policies, onClose }: Props) {
  const [port, setPort] = useState('22')
  const [minutes, setMinutes] = useState('180')
  const [reviewing, setReviewing] = useState(false)
  const number = /^\d{1,5}$/.test(port.trim()) ? Number(port) : 65_536
  const group = machine.id.split('/').slice(0, 5).join('/')
  const location = machine.machine?.location ?? ''
  if (reviewing) {
    return (
      <ReviewDialog
        title={m.guardTitle(machine.name)}
        writes={[guard({ group, location, machine: machine.id, port: number, minutes: Number(minutes) }, policies)]}
        confirm={m.guard}
        done={m.guarded}
        onDone={onClose}
        onClose={() => setReviewing(false)}
      />
    )
  }
  return (
    <Dialog
      title={m.guardTitle(machine.name)}
      onClose={onClose}
      footer={
        <>
          <Button onPress={onClose}>{m.cancel}</Button>
          <Button variant="primary" isDisabled={number > 65_535} onPress={() => setReviewing(true)}>
            {m.guard}…
          </Button>
        </>
      }
    >
      <div className="grid grid-cols-2 gap-3">
        <TextField label={m.number} value={port} onChange={setPort} maxLength={5} autoFocus />
        <Select
          label={m.longest}
          value={minutes}
          onChange={setMinutes}
          options={[...usualSpans, 180].toSorted((a, b) => a - b).map((n) => ({ id: String(n), label: spanText(n) }))}
        />
      </div>
    </Dialog>
  )
}
