import { useState } from 'react'
import { decide } from '../../api/queries/jit.ts'
import { dateTime } from '../../app/format.ts'
import { toast } from '../../app/toast.ts'
import { type Asked, elevationsOf } from '../../domain/access.ts'
import { nameOf } from '../../domain/armId.ts'
import { SendDialog } from '../../parts/SendDialog.tsx'
import { useSendNow } from '../../parts/useSendNow.ts'
import { Button } from '../../ui/Button.tsx'
import { PropertyList } from '../../ui/PropertyList.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'
import { elevationText, givesText, sourcesText } from './requestText.ts'

/** Somebody asks for access, or for more time: what for, and yes or no. */
export function DecideDialog({ item, onClose }: { item: Asked; onClose: () => void }) {
  const { policy, request } = item
  const [reason, setReason] = useState('')
  const send = useSendNow(
    (verb: 'approve' | 'deny') => decide(policy.id, request, verb, reason.trim()),
    () => {
      toast(m.decided)
      onClose()
    },
  )
  const more = request.sekisho.extension
  const wanted = more ?? { justification: request.justification, ticketNumber: request.sekisho.ticketNumber }
  const machines = request.virtualMachines.map(({ id }) => nameOf(id)).join(', ')
  return (
    <SendDialog
      title={more ? m.moreTitle(machines) : m.decideTitle(request.requestor, machines)}
      sending={send}
      actions={
        <>
          <Button variant="danger" isDisabled={send.isPending} onPress={() => send.mutate('deny')}>
            {m.deny}
          </Button>
          <Button variant="primary" isPending={send.isPending} onPress={() => send.mutate('approve')}>
            {m.approve}
          </Button>
        </>
      }
      onClose={onClose}
    >
      <PropertyList
        items={[
          [m.gives, givesText(request)],
          ...elevationsOf(request).map((one) => [m.users, elevationText(one)] satisfies [string, string]),
          [m.source, sourcesText(request)],
          ...(more ? [[m.until, dateTime(more.endTimeUtc)] satisfies [string, string]] : []),
          [m.why, wanted.justification ?? ''],
          ...(wanted.ticketNumber ? [[m.ticket, wanted.ticketNumber] satisfies [string, string]] : []),
        ]}
      />
      <TextField label={m.reason} rows={2} value={reason} onChange={setReason} maxLength={1000} autoFocus />
    </SendDialog>
  )
}
