import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { SquareTerminal, Waypoints } from 'lucide-react'
import { lazy, Suspense, useState } from 'react'
import { bastionQueries } from '../../api/queries/bastion.ts'
import type { BastionHost, Facts } from '../../api/types.ts'
import { useScope } from '../../app/scope.ts'
import { nameOf, parseArmId } from '../../domain/armId.ts'
import { isAccount, terminalAddress } from '../../domain/bastion.ts'
import { Section } from '../../parts/Section.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { CodeBlock } from '../../ui/CodeBlock.tsx'
import { cx } from '../../ui/cx.ts'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Select } from '../../ui/Select.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'
import { l } from './linkMessages.ts'
import { SshClientCard } from './SshClientCard.tsx'

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
  return (
    <Section query={hosts}>
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

function Connect({ machineId, hosts, users }: { machineId: string; hosts: BastionHost[]; users: Users }) {
  const [chosen, setChosen] = useState<string>()
  const [account, setAccount] = useState(lastAccount)
  const [isLending, setLending] = useState(false)
  const host = hosts.find(({ id }) => id === chosen) ?? hosts[0]
  const bad = account !== '' && !isAccount(account)
  const isReady = host !== undefined && account !== '' && !bad
  const keep = () => {
    try {
      localStorage.setItem(key, account)
    } catch {
      // Private mode.
    }
  }
  const tunnel =
    host &&
    `az network bastion tunnel --name ${host.name} --resource-group ${parseArmId(host.id)?.resourceGroup} --target-resource-id ${machineId} --resource-port 22 --port 2222`
  return (
    <>
      <Card title={m.connect}>
        <div className="flex max-w-xl flex-col gap-4">
          <p className="text-sm text-ink-2">{m.connectWhy}</p>
          <Select
            label={m.host}
            value={host?.id ?? ''}
            onChange={setChosen}
            options={hosts.map(({ id }) => ({ id, label: nameOf(id), detail: parseArmId(id)?.resourceGroup }))}
          />
          <TextField
            label={m.account}
            hint={m.accountHint}
            value={account}
            onChange={setAccount}
            error={bad ? m.accountBad : undefined}
            autoComplete="off"
            suggestions={accountsOf(users)}
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
        </div>
      </Card>
      {host?.properties.enableTunneling === true && (
        <SshClientCard machine={nameOf(machineId)} account={bad ? '' : account} />
      )}
      {host?.properties.enableShareableLink === true && (
        <Card title={l.title}>
          <div className="flex max-w-xl flex-col items-start gap-3">
            <p className="text-sm text-ink-2">{l.why}</p>
            <Button onPress={() => setLending(true)}>{l.make}</Button>
          </div>
        </Card>
      )}
      {host && isLending && (
        <Suspense>
          <LinkPanel
            host={host.id}
            machine={machineId}
            account={bad ? '' : account}
            onClose={() => setLending(false)}
          />
        </Suspense>
      )}
      {tunnel && host?.properties.enableTunneling === true && (
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
