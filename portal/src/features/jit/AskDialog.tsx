import { useState } from 'react'
import { initiate } from '../../api/queries/jit.ts'
import { toast } from '../../app/toast.ts'
import { type Guarded, offersOf } from '../../domain/access.ts'
import { minutesOf } from '../../domain/isoDuration.ts'
import { SendDialog } from '../../parts/SendDialog.tsx'
import { spanText, usualSpans } from '../../parts/spanText.ts'
import { useSendNow } from '../../parts/useSendNow.ts'
import { Button } from '../../ui/Button.tsx'
import { Checkbox } from '../../ui/Checkbox.tsx'
import { Select } from '../../ui/Select.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'

/** What one needs to say to have ports opened, or to be more for a while: nothing, where the policy asks for nothing. */
export function AskDialog({ machine, onClose }: { machine: Guarded; onClose: () => void }) {
  const [policyId, setPolicyId] = useState(machine.policies[0]?.id ?? '')
  const policy = machine.policies.find(({ id }) => id === policyId)
  const ports = machine.ports.filter((port) => port.policy.id === policyId)
  const [without, setWithout] = useState<number[]>([])
  const chosen = ports.filter(({ number }) => !without.includes(number))
  const offers = policy ? offersOf(policy) : { sudo: undefined, account: undefined, login: undefined }
  // Where there is nothing else to ask for, it is asked for.
  const [wanted, setWanted] = useState<{ sudo?: boolean; account?: boolean; login?: boolean }>({})
  const sudo = offers.sudo && (wanted.sudo ?? ports.length === 0) ? offers.sudo : undefined
  const account =
    offers.account && (wanted.account ?? (ports.length === 0 && !offers.sudo)) ? offers.account : undefined
  const login = offers.login && (wanted.login ?? ports.length === 0) ? offers.login : undefined
  const [user, setUser] = useState('')
  const longest = [sudo ?? [], account ?? [], login ?? []]
    .flat()
    .map(({ maxRequestAccessDuration }) => maxRequestAccessDuration)
  const most = Math.min(1440, ...[...chosen.map((port) => port.longest), ...longest].map(minutesOf))
  const lengths = [...new Set([...usualSpans.filter((length) => length <= most), most])].toSorted((a, b) => a - b)
  const [minutes, setMinutes] = useState(String(Math.min(most, 60)))
  const [source, setSource] = useState('')
  const [reason, setReason] = useState('')
  const [ticket, setTicket] = useState('')
  const { approval, justificationRequired, ticketPattern, existingConnections } = policy?.properties.sekisho ?? {}
  const ask = useSendNow(
    () =>
      initiate({
        policy: policyId,
        machine: machine.id,
        ports: chosen.map(({ number }) => number),
        minutes: Math.min(Number(minutes), most),
        reason: reason.trim(),
        ticket: ticket.trim(),
        source: source.trim(),
        sudo: sudo !== undefined,
        account: account !== undefined,
        login: login !== undefined,
        user: user.trim(),
      }),
    () => {
      toast(approval ? m.sent : chosen.length > 0 ? m.opened : m.given)
      onClose()
    },
  )
  const lacks =
    (justificationRequired && !reason.trim()) ||
    (ticketPattern && !ticket.trim()) ||
    (chosen.length === 0 && !sudo && !account && !login)
  return (
    <SendDialog
      title={m.askTitle(machine.name)}
      sending={ask}
      actions={
        <Button
          variant="primary"
          isPending={ask.isPending}
          isDisabled={Boolean(lacks)}
          onPress={() => ask.mutate(undefined)}
        >
          {approval ? m.ask : ports.length > 0 ? m.open : m.start}
        </Button>
      }
      onClose={onClose}
    >
      {machine.policies.length > 1 && (
        <Select
          label={m.guard}
          value={policyId}
          onChange={setPolicyId}
          options={machine.policies.map(({ id, name }) => ({ id, label: name }))}
        />
      )}
      <div role="group" aria-label={m.gives} className="flex flex-col gap-1.5">
        {offers.login && (
          <div className="flex items-baseline gap-2">
            <Checkbox isSelected={login !== undefined} onChange={(on) => setWanted({ ...wanted, login: on })}>
              {m.login}
            </Checkbox>
            <span className="text-xs text-ink-3">{m.loginHint}</span>
          </div>
        )}
        {offers.sudo && (
          <div className="flex items-baseline gap-2">
            <Checkbox isSelected={sudo !== undefined} onChange={(on) => setWanted({ ...wanted, sudo: on })}>
              {m.sudo}
            </Checkbox>
            <span className="text-xs text-ink-3">
              {m.sudoFor((offers.sudo.runAs ?? ['root']).join(', '), (offers.sudo.commands ?? []).join(', '))}
            </span>
          </div>
        )}
        {offers.account && (
          <div className="flex items-baseline gap-2">
            <Checkbox isSelected={account !== undefined} onChange={(on) => setWanted({ ...wanted, account: on })}>
              {m.account}
            </Checkbox>
            <span className="text-xs text-ink-3">{m.accountHint}</span>
          </div>
        )}
        {ports.map(({ number, protocol, allowed }) => (
          <div key={`${number}${protocol}`} className="flex items-baseline gap-2">
            <Checkbox
              isSelected={!without.includes(number)}
              onChange={(on) => setWithout(on ? without.filter((other) => other !== number) : [...without, number])}
            >
              {m.port(number, protocol)}
            </Checkbox>
            <span className="text-xs text-ink-3">{m.allowed(allowed)}</span>
          </div>
        ))}
      </div>
      <div className="grid grid-cols-2 gap-3">
        <Select
          label={m.forHowLong}
          value={minutes}
          onChange={setMinutes}
          options={lengths.map((length) => ({ id: String(length), label: spanText(length) }))}
        />
        {ports.length > 0 && (
          <TextField label={m.source} hint={m.here} value={source} onChange={setSource} maxLength={50} />
        )}
        {(sudo ?? account ?? login) && (
          <TextField label={m.user} hint={m.ownUser} value={user} onChange={setUser} maxLength={32} />
        )}
      </div>
      <TextField label={m.reason} rows={2} value={reason} onChange={setReason} maxLength={1000} />
      {ticketPattern && <TextField label={m.ticket} value={ticket} onChange={setTicket} maxLength={100} />}
      <p className="text-xs text-ink-3">
        {approval && m.approvals(approval.required ?? 1)}{' '}
        {chosen.length > 0 && (existingConnections === 'drain' ? m.drain : m.cut)}{' '}
        {sudo && (sudo.existingSessions === 'drain' ? m.sudoDrain : m.sudoCut)} {account && m.accountCut}{' '}
        {login && m.loginCut}
      </p>
    </SendDialog>
  )
}
