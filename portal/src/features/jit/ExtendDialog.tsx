import { useState } from 'react'
import { extend } from '../../api/queries/jit.ts'
import { toast } from '../../app/toast.ts'
import { type Asked, mostMinutes } from '../../domain/access.ts'
import { SendDialog } from '../../parts/SendDialog.tsx'
import { spanText, usualSpans } from '../../parts/spanText.ts'
import { useSendNow } from '../../parts/useSendNow.ts'
import { Button } from '../../ui/Button.tsx'
import { Select } from '../../ui/Select.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'

type Props = { item: Asked; what: string; onClose: () => void }

/** More time for what is open, as far as the policy lets it be open at all. */
export function ExtendDialog({ item, what, onClose }: Props) {
  const { policy, request } = item
  const [most] = useState(() => mostMinutes(item, Date.now()))
  const lengths = most > 0 ? [...new Set([...usualSpans.filter((length) => length < most), most])] : []
  const [minutes, setMinutes] = useState(String(Math.min(most, 60)))
  const [reason, setReason] = useState('')
  const [ticket, setTicket] = useState('')
  const { approval, justificationRequired, ticketPattern } = policy.properties.sekisho ?? {}
  const send = useSendNow(
    () => extend(policy.id, request, { minutes: Number(minutes), reason: reason.trim(), ticket: ticket.trim() }),
    () => {
      toast(approval ? m.sent : m.extended)
      onClose()
    },
  )
  const lacks = (justificationRequired && !reason.trim()) || (ticketPattern && !ticket.trim()) || most === 0
  return (
    <SendDialog
      title={m.moreTitle(what)}
      sending={send}
      actions={
        <Button
          variant="primary"
          isPending={send.isPending}
          isDisabled={Boolean(lacks)}
          onPress={() => send.mutate(undefined)}
        >
          {m.more}
        </Button>
      }
      onClose={onClose}
    >
      {most === 0 ? (
        <p className="text-sm">{m.noMore}</p>
      ) : (
        <Select
          label={m.fromNow}
          value={minutes}
          onChange={setMinutes}
          options={lengths.map((length) => ({ id: String(length), label: spanText(length) }))}
        />
      )}
      <TextField label={m.reason} rows={2} value={reason} onChange={setReason} maxLength={1000} />
      {ticketPattern && <TextField label={m.ticket} value={ticket} onChange={setTicket} maxLength={100} />}
      {approval && <p className="text-xs text-ink-3">{m.approvals(approval.required ?? 1)}</p>}
    </SendDialog>
  )
}
