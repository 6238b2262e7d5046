import { useState } from 'react'
import { decision, type RoleRequest } from '../../api/queries/pim.ts'
import { toast } from '../../app/toast.ts'
import { minutesOf } from '../../domain/isoDuration.ts'
import { SendDialog } from '../../parts/SendDialog.tsx'
import { spanText } from '../../parts/spanText.ts'
import { useSendNow } from '../../parts/useSendNow.ts'
import { Button } from '../../ui/Button.tsx'
import { PropertyList } from '../../ui/PropertyList.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'

const pair = (label: string, value: string): [string, string] => [label, value]

/** Somebody asks for a role: what for, and yes or no. */
export function DecideDialog({ request, onClose }: { request: RoleRequest; onClose: () => void }) {
  const [reason, setReason] = useState('')
  const { expandedProperties, justification, ticketInfo, scheduleInfo, scope } = request.properties
  const decide = useSendNow(
    (result: 'Approve' | 'Deny') => decision(request, result, reason.trim()),
    () => {
      toast(m.decided)
      onClose()
    },
  )
  const who = expandedProperties.principal.displayName ?? request.properties.principalId
  const length = minutesOf(scheduleInfo?.expiration?.duration ?? '')
  return (
    <SendDialog
      title={m.decideTitle(who, expandedProperties.roleDefinition.displayName ?? '')}
      sending={decide}
      actions={
        <>
          <Button
            variant="danger"
            isDisabled={!reason.trim() || decide.isPending}
            onPress={() => decide.mutate('Deny')}
          >
            {m.deny}
          </Button>
          <Button
            variant="primary"
            isPending={decide.isPending}
            isDisabled={!reason.trim()}
            onPress={() => decide.mutate('Approve')}
          >
            {m.approve}
          </Button>
        </>
      }
      onClose={onClose}
    >
      <PropertyList
        items={[
          [m.scope, expandedProperties.scope.displayName ?? scope],
          ...(length > 0 ? [pair(m.duration, spanText(length))] : []),
          [m.why, justification ?? ''],
          ...(ticketInfo?.ticketNumber ? [pair(m.ticket, ticketInfo.ticketNumber)] : []),
        ]}
      />
      <TextField label={m.justification} rows={2} value={reason} onChange={setReason} maxLength={1000} autoFocus />
    </SendDialog>
  )
}
