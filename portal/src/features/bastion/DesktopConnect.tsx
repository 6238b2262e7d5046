import { useQuery } from '@tanstack/react-query'
import { Monitor } from 'lucide-react'
import { useEffect, useState } from 'react'
import { desktopQueries } from '../../api/queries/desktops.ts'
import { ago } from '../../app/format.ts'
import {
  desktopAddress,
  type DesktopKeyboard,
  desktopKeyboards,
  desktopPorts,
  type DesktopProtocol,
  isAccount,
  isDomain,
  isPort,
} from '../../domain/bastion.ts'
import { plainText } from '../../domain/plainText.ts'
import { nameOf } from '../../domain/armId.ts'
import { CodeBlock } from '../../ui/CodeBlock.tsx'
import { cx } from '../../ui/cx.ts'
import { Segments } from '../../ui/Segments.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { d } from './desktopMessages.ts'
import { keyboardHere } from './keyboardHere.ts'
import { m } from './messages.ts'

type Props = { machine: string; host: string | undefined; protocol: DesktopProtocol; accounts: readonly string[] }

/** What leads a program of one's own to the desktop. */
function ownProgram(machine: string, protocol: DesktopProtocol, port: number, account: string | undefined) {
  const name = nameOf(machine).toLowerCase()
  if (protocol === 'vnc') return `sekisho tunnel ${name} ${port}`
  const words = ['sekisho', 'rdp', name]
  if (port !== desktopPorts.rdp) words.push('--port', String(port))
  if (account !== undefined && isAccount(account)) words.push('--user', account)
  return words.join(' ')
}

/** As whom, and where. The password is asked for by the page that this opens. */
export default function DesktopConnect({ machine, host, protocol, accounts }: Props) {
  const [account, setAccount] = useState('')
  const [domain, setDomain] = useState('')
  const [port, setPort] = useState(String(desktopPorts[protocol]))
  const [password, setPassword] = useState<'typed' | 'kept'>('typed')
  const [keyboard, setKeyboard] = useState<DesktopKeyboard>('american')
  useEffect(() => void keyboardHere().then(setKeyboard), [])
  const kept = useQuery(desktopQueries.kept(machine))
  const isRdp = protocol === 'rdp'
  const whose = isRdp && account !== '' ? account : undefined
  const found = kept.data?.find((one) => one.protocol === protocol && (one.account ?? undefined) === whose)
  const badAccount = isRdp && account !== '' && !isAccount(account)
  const badDomain = isRdp && domain !== '' && !isDomain(domain)
  const badPort = !isPort(Number(port))
  const isReady = host !== undefined && !badAccount && !badDomain && !badPort
  return (
    <>
      <p className="text-sm text-ink-2">{d.why}</p>
      {isRdp && (
        <div className="grid grid-cols-2 gap-3">
          <TextField
            label={m.account}
            hint={d.accountHint}
            value={account}
            onChange={setAccount}
            error={badAccount ? m.accountBad : undefined}
            autoComplete="off"
            suggestions={accounts}
            mono
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
        </div>
      )}
      <TextField
        label={d.port}
        value={port}
        onChange={setPort}
        error={badPort ? d.portBad : undefined}
        inputMode="numeric"
        autoComplete="off"
        className="w-32"
        mono
      />
      <Segments
        label={d.keyboard}
        value={keyboard}
        onChange={setKeyboard}
        options={desktopKeyboards.map((id) => ({ id, label: d[id] }))}
      />
      <div className="flex flex-col gap-1">
        <Segments
          label={d.password}
          value={password}
          onChange={setPassword}
          options={[
            { id: 'typed', label: d.typed },
            { id: 'kept', label: d.kept },
          ]}
        />
        {/* One's own account is known to the server alone. */}
        {password === 'kept' && kept.data && (found || whose || !isRdp) && (
          <p role="status" className="text-xs text-ink-2">
            {found ? d.keptBy(plainText(found.changedBy), ago(found.changedAt)) : d.notKept}
          </p>
        )}
      </div>
      <a
        href={
          isReady
            ? desktopAddress({
                machine,
                host,
                protocol,
                port: Number(port) === desktopPorts[protocol] ? undefined : Number(port),
                account: whose,
                domain: isRdp && domain !== '' ? domain : undefined,
                keyboard,
                kept: password === 'kept' ? true : undefined,
              })
            : undefined
        }
        target="_blank"
        rel="noopener"
        aria-disabled={!isReady}
        className={cx(
          'flex h-8 w-fit items-center gap-1.5 rounded-md bg-accent px-3 text-sm font-medium text-accent-ink',
          !isReady && 'opacity-45',
        )}
      >
        <Monitor size={14} aria-hidden />
        {d.open}
      </a>
      <p className="text-sm text-ink-2">{d.ownProgram}</p>
      <CodeBlock label={d.ownProgram} copyLabel={m.copy} code={ownProgram(machine, protocol, Number(port), whose)} />
    </>
  )
}
