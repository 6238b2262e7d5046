import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { activate, type EligibleRole, pimQueries } from '../../api/queries/pim.ts'
import { useScope } from '../../app/scope.ts'
import { toast } from '../../app/toast.ts'
import { minutesOf } from '../../domain/isoDuration.ts'
import { SendDialog } from '../../parts/SendDialog.tsx'
import { spanText, usualSpans } from '../../parts/spanText.ts'
import { useSendNow } from '../../parts/useSendNow.ts'
import { Button } from '../../ui/Button.tsx'
import { Select } from '../../ui/Select.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'

/** What one needs to say to take a role: as little as its settings allow. */
export function ActivateDialog({ role, onClose }: { role: EligibleRole; onClose: () => void }) {
  const { session } = useScope()
  const { scope: whole, activation, expandedProperties } = role.properties
  const name = expandedProperties.roleDefinition.displayName ?? ''
  const { data: children = [] } = useQuery(pimQueries.children(whole))
  const most = minutesOf(activation.maximumDuration)
  const [reason, setReason] = useState('')
  const [ticket, setTicket] = useState('')
  const [scope, setScope] = useState(whole)
  const [start, setStart] = useState('')
  const [minutes, setMinutes] = useState(String(Math.min(most, 60)))
  const lengths = [...new Set([...usualSpans.filter((length) => length <= most), most])].toSorted((a, b) => a - b)
  const ask = useSendNow(
    () =>
      activate({
        role,
        person: session.person.id,
        scope,
        reason: reason.trim(),
        ticket: ticket.trim(),
        start: start ? new Date(start).toISOString() : undefined,
        minutes: Number(minutes),
      }),
    () => {
      toast(activation.approval ? m.sent : m.activated)
      onClose()
    },
  )
  const all = { id: whole, label: m.whole(expandedProperties.scope.displayName ?? whole) }
  return (
    <SendDialog
      title={m.activateTitle(name)}
      sending={ask}
      actions={
        <Button
          variant="primary"
          isPending={ask.isPending}
          isDisabled={(activation.justification && !reason.trim()) || (activation.ticketing && !ticket.trim())}
          onPress={() => ask.mutate(undefined)}
        >
          {activation.approval ? m.ask : m.activate}
        </Button>
      }
      onClose={onClose}
    >
      <TextField label={m.justification} rows={2} value={reason} onChange={setReason} maxLength={1000} autoFocus />
      {activation.ticketing && <TextField label={m.ticket} value={ticket} onChange={setTicket} maxLength={100} />}
      <div className="grid grid-cols-2 gap-3">
        <Select
          label={m.duration}
          value={minutes}
          onChange={setMinutes}
          options={lengths.map((length) => ({ id: String(length), label: spanText(length) }))}
        />
        <TextField label={m.start} hint={m.startHint} type="datetime-local" value={start} onChange={setStart} />
      </div>
      <Select
        label={m.scope}
        value={scope}
        onChange={setScope}
        options={[all, ...children.map((child) => ({ id: child.id, label: child.name, detail: child.type }))]}
      />
      <p className="text-xs text-ink-3">
        {activation.approval && m.approvalHint} {activation.boundToSignIn && m.boundHint}
      </p>
    </SendDialog>
  )
}
