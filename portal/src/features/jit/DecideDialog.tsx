import { useState } from 'react'
import { decide } from '../../api/queries/jit.ts'
import { toast } from '../../app/toast.ts'
import type { Asked } from '../../domain/access.ts'
import { nameOf } from '../../domain/armId.ts'
import { useSendNow } from '../../parts/useSendNow.ts'
import { Button } from '../../ui/Button.tsx'
import { Dialog } from '../../ui/Dialog.tsx'
import { ErrorNote } from '../../ui/ErrorNote.tsx'
import { PropertyList } from '../../ui/PropertyList.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'
import { portsText, sourcesText } from './requestText.ts'

/** Somebody asks for access: what for, and yes or no. */
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
  const machines = request.virtualMachines.map(({ id }) => nameOf(id)).join(', ')
  return (
    <Dialog
      title={m.decideTitle(request.requestor, machines)}
      onClose={send.isPending ? undefined : onClose}
      footer={
        <>
          <Button onPress={onClose} isDisabled={send.isPending}>
            {m.cancel}
          </Button>
          <Button variant="danger" isDisabled={send.isPending} onPress={() => send.mutate('deny')}>
            {m.deny}
          </Button>
          <Button variant="primary" isPending={send.isPending} onPress={() => send.mutate('approve')}>
            {m.approve}
          </Button>
        </>
      }
    >
      <div className="flex flex-col gap-4">
        <PropertyList
          items={[
            [m.ports, portsText(request)],
            [m.source, sourcesText(request)],
            [m.why, request.justification ?? ''],
            ...(request.sekisho.ticketNumber
              ? [[m.ticket, request.sekisho.ticketNumber] satisfies [string, string]]
              : []),
          ]}
        />
        <TextField label={m.reason} rows={2} value={reason} onChange={setReason} maxLength={1000} autoFocus />
        {send.error && <ErrorNote error={send.error} />}
      </div>
    </Dialog>
  )
}
