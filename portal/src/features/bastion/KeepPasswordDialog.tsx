import { useState } from 'react'
import { keepPassword } from '../../api/queries/desktops.ts'
import { toast } from '../../app/toast.ts'
import { nameOf } from '../../domain/armId.ts'
import { type DesktopProtocol, isAccount, isDomain } from '../../domain/bastion.ts'
import { SendDialog } from '../../parts/SendDialog.tsx'
import { useSendNow } from '../../parts/useSendNow.ts'
import { Button } from '../../ui/Button.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { d } from './desktopMessages.ts'
import { m } from './messages.ts'

type Props = { machine: string; protocol: DesktopProtocol; onClose: () => void }

/** Sent as it is typed: a review would have to show it, or show nothing. */
export function KeepPasswordDialog({ machine, protocol, onClose }: Props) {
  const [account, setAccount] = useState('')
  const [domain, setDomain] = useState('')
  const [password, setPassword] = useState('')
  const isRdp = protocol === 'rdp'
  const badAccount = isRdp && account !== '' && !isAccount(account)
  const badDomain = isRdp && domain !== '' && !isDomain(domain)
  const isReady = password !== '' && !badAccount && !badDomain && (!isRdp || account !== '')
  const sending = useSendNow(
    (typed: string) =>
      keepPassword(machine, {
        protocol,
        account: isRdp ? account : undefined,
        domain: isRdp && domain !== '' ? domain : undefined,
        password: typed,
      }),
    () => {
      toast(d.keptNow)
      onClose()
    },
  )
  return (
    <SendDialog
      title={d.keepOf(nameOf(machine))}
      sending={sending}
      onClose={onClose}
      actions={
        <Button
          variant="primary"
          isPending={sending.isPending}
          isDisabled={!isReady}
          onPress={() => {
            setPassword('')
            sending.mutate(password)
          }}
        >
          {d.keep}
        </Button>
      }
    >
      <p className="text-sm">{d.keepWhy}</p>
      {isRdp && (
        <>
          <TextField
            label={m.account}
            value={account}
            onChange={setAccount}
            error={badAccount ? m.accountBad : undefined}
            autoComplete="off"
            mono
            isRequired
          />
          <TextField
            label={d.domain}
            hint={d.domainHint}
            value={domain}
            onChange={setDomain}
            error={badDomain ? d.domainBad : undefined}
            autoComplete="off"
            mono
          />
        </>
      )}
      <TextField
        label={d.password}
        type="password"
        value={password}
        onChange={setPassword}
        autoComplete="new-password"
        isRequired
      />
    </SendDialog>
  )
}
