import { useState } from 'react'
import { guard, offerUsers } from '../../api/queries/jit.ts'
import type { JitPolicy } from '../../api/types.ts'
import type { Guarded } from '../../domain/access.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { spanText, usualSpans } from '../../parts/spanText.ts'
import { Button } from '../../ui/Button.tsx'
import { Checkbox } from '../../ui/Checkbox.tsx'
import { Dialog } from '../../ui/Dialog.tsx'
import { Segments } from '../../ui/Segments.tsx'
import { Select } from '../../ui/Select.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'

type Props = { machine: Guarded; policies: JitPolicy[]; onClose: () => void }

/** A port that is to be closed until somebody asks for it, or what users may ask to be for a while. */
export function GuardDialog({ machine, policies, onClose }: Props) {
  const [what, setWhat] = useState<'port' | 'users'>('port')
  const [port, setPort] = useState('22')
  const [sudo, setSudo] = useState(true)
  const [account, setAccount] = useState(false)
  const [login, setLogin] = useState(false)
  const [commands, setCommands] = useState('')
  const [minutes, setMinutes] = useState('180')
  const [reviewing, setReviewing] = useState(false)
  const number = /^\d{1,5}$/.test(port.trim()) ? Number(port) : 65_536
  const group = machine.id.split('/').slice(0, 5).join('/')
  const location = machine.machine?.location ?? ''
  const paths = commands.split(/\s+/).filter(Boolean)
  const wrong = paths.find((path) => !/^(\/[\w.+@,:=-]+)+$/.test(path))
  const lacks = what === 'port' ? number > 65_535 : (!sudo && !account && !login) || wrong !== undefined
  const title = what === 'port' ? m.guardTitle(machine.name) : m.offerTitle(machine.name)
  const confirm = what === 'port' ? m.guard : m.offer
  if (reviewing) {
    const common = { group, location, machine: machine.id, minutes: Number(minutes) }
    return (
      <ReviewDialog
        title={title}
        writes={[
          what === 'port'
            ? guard({ ...common, port: number }, policies)
            : offerUsers({ ...common, sudo, commands: paths, account, login }, policies),
        ]}
        confirm={confirm}
        done={what === 'port' ? m.guarded : m.offered}
        onDone={onClose}
        onClose={() => setReviewing(false)}
      />
    )
  }
  return (
    <Dialog
      title={title}
      onClose={onClose}
      footer={
        <>
          <Button onPress={onClose}>{m.cancel}</Button>
          <Button variant="primary" isDisabled={lacks} onPress={() => setReviewing(true)}>
            {confirm}…
          </Button>
        </>
      }
    >
      <div className="flex flex-col gap-4">
        <Segments
          label={m.whatToGuard}
          hideLabel
          value={what}
          onChange={setWhat}
          options={[
            { id: 'port', label: m.onePort },
            { id: 'users', label: m.sudoAndAccounts },
          ]}
        />
        {what === 'users' && (
          <div role="group" aria-label={m.sudoAndAccounts} className="flex flex-col gap-1.5">
            <Checkbox isSelected={sudo} onChange={setSudo}>
              {m.sudo}
            </Checkbox>
            <Checkbox isSelected={account} onChange={setAccount}>
              {m.account}
            </Checkbox>
            <Checkbox isSelected={login} onChange={setLogin}>
              {m.loginOffer}
            </Checkbox>
            <p className="text-xs text-ink-3">{m.offerHint}</p>
          </div>
        )}
        {what === 'users' && sudo && (
          <TextField
            label={m.commands}
            hint={m.commandsHint}
            error={wrong && m.noCommand(wrong)}
            rows={2}
            mono
            value={commands}
            onChange={setCommands}
            maxLength={2000}
          />
        )}
        <div className="grid grid-cols-2 gap-3">
          {what === 'port' && <TextField label={m.number} value={port} onChange={setPort} maxLength={5} autoFocus />}
          <Select
            label={m.longest}
            value={minutes}
            onChange={setMinutes}
            options={[...usualSpans, 180].toSorted((a, b) => a - b).map((n) => ({ id: String(n), label: spanText(n) }))}
          />
        </div>
      </div>
    </Dialog>
  )
}
