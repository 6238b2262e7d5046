import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { SquareTerminal, Waypoints } from 'lucide-react'
import { lazy, Suspense, useState } from 'react'
import { bastionQueries } from '../../api/queries/bastion.ts'
import { sshKeysQuery } from '../../api/queries/sshKeys.ts'
import type { BastionHost, Facts } from '../../api/types.ts'
import { useScope } from '../../app/scope.ts'
import { nameOf, parseArmId } from '../../domain/armId.ts'
import { type DesktopProtocol, isAccount, terminalAddress } from '../../domain/bastion.ts'
import { Section } from '../../parts/Section.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { CodeBlock } from '../../ui/CodeBlock.tsx'
import { cx } from '../../ui/cx.ts'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Segments } from '../../ui/Segments.tsx'
import { Select } from '../../ui/Select.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { d } from './desktopMessages.ts'
import { KeptPasswords } from './KeptPasswords.tsx'
import { l } from './linkMessages.ts'
import { m } from './messages.ts'
import { PinnedCertificates } from './PinnedCertificates.tsx'
import { SshClientCard } from './SshClientCard.tsx'

const DesktopConnect = lazy(() => import('./DesktopConnect.tsx'))
const LinkPanel = lazy(() => import('./LinkPanel.tsx'))

const key = 'sekisho.account'

function lastAccount() {
  try {
    return localStorage.getItem(key) ?? ''
  } catch {
    return ''
  }
}

type Users = Facts['users']

export default function ConnectTab({ machineId, users }: { machineId: string; users: Users | undefined }) {
  const { subscriptionId } = useScope()
  const hosts = useQuery(bastionQueries.hosts(subscriptionId))
  // Where a host is for SSH clients, one's keys stand above what would move.
  const keys = useQuery(sshKeysQuery)
  return (
    <Section query={hosts} isWaiting={keys.isPending}>
      {(all) =>
        all.length === 0 ? (
          <Card>
            <EmptyState
              icon={<Waypoints size={20} aria-hidden />}
              title={m.noHosts}
              action={
                <Link to="/bastion" search={{ create: true }} className="text-accent underline">
                  {m.createTitle}
                </Link>
              }
            >
              {m.emptyWhy}
            </EmptyState>
          </Card>
        ) : (
          <Connect machineId={machineId} hosts={all} users={users ?? []} />
        )
      }
    </Section>
  )
}

/** Accounts with which one gets a shell. */
const accountsOf = (users: Users) =>
  users.filter(({ shell }) => !/\/(nologin|false|sync)$/.test(shell)).map(({ name }) => name)

type Kind = 'terminal' | DesktopProtocol

function Connect({ machineId, hosts, users }: { machineId: string; hosts: BastionHost[]; users: Users }) {
  const [chosen, setChosen] = useState<string>()
  const [kind, setKind] = useState<Kind>('terminal')
  const [account, setAccount] = useState(lastAccount)
  const host = hosts.find(({ id }) => id === chosen) ?? hosts[0]
  const accounts = accountsOf(users)
  return (
    <>
      <Card title={m.connect}>
        <div className="flex max-w-xl flex-col gap-4">
          <Segments
            label={d.kind}
            value={kind}
            onChange={setKind}
            options={[
              { id: 'terminal', label: d.terminal },
              { id: 'rdp', label: d.rdp },
              { id: 'vnc', label: d.vnc },
            ]}
          />
          <Select
            label={m.host}
            value={host?.id ?? ''}
            onChange={setChosen}
            options={hosts.map(({ id }) => ({ id, label: nameOf(id), detail: parseArmId(id)?.resourceGroup }))}
          />
          {kind === 'terminal' ? (
            <TerminalConnect
              machineId={machineId}
              host={host}
              account={account}
              accounts={accounts}
              onAccount={setAccount}
            />
          ) : (
            <Suspense>
              <DesktopConnect key={kind} machine={machineId} host={host?.id} protocol={kind} accounts={accounts} />
            </Suspense>
          )}
        </div>
      </Card>
      {kind === 'terminal' ? (
        host && <BesideTerminal machineId={machineId} host={host} account={isAccount(account) ? account : ''} />
      ) : (
        <>
          <KeptPasswords key={kind} machine={machineId} protocol={kind} />
          {kind === 'rdp' && <PinnedCertificates machine={machineId} />}
        </>
      )}
    </>
  )
}

type TerminalProps = {
  machineId: string
  host: BastionHost | undefined
  account: string
  accounts: readonly string[]
  onAccount: (account: string) => void
}

function TerminalConnect({ machineId, host, account, accounts, onAccount }: TerminalProps) {
  const bad = account !== '' && !isAccount(account)
  const isReady = host !== undefined && account !== '' && !bad
  const keep = () => {
    try {
      localStorage.setItem(key, account)
    } catch {
      // Private mode.
    }
  }
  return (
    <>
      <p className="text-sm text-ink-2">{m.connectWhy}</p>
      <TextField
        label={m.account}
        hint={m.accountHint}
        value={account}
        onChange={onAccount}
        error={bad ? m.accountBad : undefined}
        autoComplete="off"
        suggestions={accounts}
        mono
      />
      <a
        // A tab of its own: with an opener it would begin with the sessions of another.
        href={isReady ? terminalAddress({ machine: machineId, host: host.id, account }) : undefined}
        target="_blank"
        rel="noopener"
        aria-disabled={!isReady}
        onClick={keep}
        className={cx(
          'flex h-8 w-fit items-center gap-1.5 rounded-md bg-accent px-3 text-sm font-medium text-accent-ink',
          !isReady && 'opacity-45',
        )}
      >
        <SquareTerminal size={14} aria-hidden />
        {m.open}
      </a>
    </>
  )
}

/** Other ways to a shell, as far as the host allows them. */
function BesideTerminal({ machineId, host, account }: { machineId: string; host: BastionHost; account: string }) {
  const [isLending, setLending] = useState(false)
  const { enableTunneling, enableShareableLink } = host.properties
  const tunnel = `az network bastion tunnel --name ${host.name} --resource-group ${parseArmId(host.id)?.resourceGroup} --target-resource-id ${machineId} --resource-port 22 --port 2222`
  return (
    <>
      {enableTunneling === true && <SshClientCard machine={nameOf(machineId)} account={account} />}
      {enableShareableLink === true && (
        <Card title={l.title}>
          <div className="flex max-w-xl flex-col items-start gap-3">
            <p className="text-sm text-ink-2">{l.why}</p>
            <Button onPress={() => setLending(true)}>{l.make}</Button>
          </div>
        </Card>
      )}
      {isLending && (
        <Suspense>
          <LinkPanel host={host.id} machine={machineId} account={account} onClose={() => setLending(false)} />
        </Suspense>
      )}
      {enableTunneling === true && (
        <Card title={m.native}>
          <div className="flex flex-col gap-3">
            <p className="text-sm text-ink-2">{m.nativeWhy}</p>
            <CodeBlock label={m.native} copyLabel={m.copy} code={tunnel} />
          </div>
        </Card>
      )}
    </>
  )
}
