import { useQuery } from '@tanstack/react-query'
import { Link2, Monitor, SquareTerminal } from 'lucide-react'
import { lazy, type ReactNode, Suspense, useState } from 'react'
import { dateTime } from '../../app/format.ts'
import { nameOf } from '../../domain/armId.ts'
import { desktopAddress, readLink, terminalAddress } from '../../domain/bastion.ts'
import { keyboardHere } from '../../features/bastion/keyboardHere.ts'
import { plainText } from '../../domain/plainText.ts'
import { Button } from '../../ui/Button.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Mark } from '../../ui/Mark.tsx'
import { PropertyList } from '../../ui/PropertyList.tsx'
import { Refusal } from '../Refusal.tsx'
import { useTitle } from '../useTitle.ts'
import { inspect, type Lent } from './api.ts'
import { m } from './messages.ts'

const SignInAgain = lazy(() => import('../../features/signin/SignInAgain.tsx'))

/** What a link lends, and the way in. */
export default function LinkApp() {
  const [token] = useState(() => readLink(location.hash))
  if (token) return <Found token={token} />
  return (
    <main className="grid h-screen place-items-center">
      <EmptyState icon={<Link2 size={20} aria-hidden />} title={m.none}>
        {m.noneWhy}
      </EmptyState>
    </main>
  )
}

function Found({ token }: { token: string }) {
  const lent = useQuery({ queryKey: ['link', token], queryFn: () => inspect(token), retry: false })
  useTitle(m.lent)
  if (lent.data) return <Offer token={token} lent={lent.data} onSignedIn={() => void lent.refetch()} />
  return (
    <main className="grid h-screen">
      {lent.isError && <Refusal error={lent.error} onRetry={() => void lent.refetch()} />}
    </main>
  )
}

async function addressOf({ machine, host, account, place, desktop, passwordKept }: Lent) {
  const whose = account ?? undefined
  if (!desktop) return terminalAddress({ machine, host, account: whose ?? '', place })
  const { protocol } = desktop
  const kept = passwordKept || undefined
  return desktopAddress({ machine, host, account: whose, place, protocol, kept, keyboard: await keyboardHere() })
}

function Offer({ token, lent, onSignedIn }: { token: string; lent: Lent; onSignedIn: () => void }) {
  const [isProving, setProving] = useState(false)
  const { machine, account, desktop, createdBy, expiryTime, usesLeft, needsFreshSignIn } = lent
  const enter = async () => location.assign(`${await addressOf(lent)}#${token}`)
  return (
    <main className="grid h-screen place-items-center p-6">
      <section className="flex w-full max-w-md flex-col gap-5 rounded-lg border border-line bg-surface p-6">
        <header className="flex items-center gap-3">
          <Mark size={24} />
          <h1 className="text-base font-medium">{m.lent}</h1>
        </header>
        <p className="text-sm">{m.lentBy(plainText(createdBy))}</p>
        <PropertyList
          items={[
            [m.machine, nameOf(machine)],
            [m.shows, desktop ? m.desktop(desktop.protocol.toUpperCase()) : m.terminal],
            ...(account === undefined || account === null
              ? []
              : [
                  [
                    m.account,
                    <code key="account" className="font-mono text-xs">
                      {account}
                    </code>,
                  ] as [string, ReactNode],
                ]),
            [m.until, dateTime(expiryTime)],
            ...(usesLeft === undefined || usesLeft === null ? [] : [[m.left, m.times(usesLeft)] as [string, string]]),
          ]}
        />
        {needsFreshSignIn ? (
          <div className="flex flex-col items-start gap-3">
            <p className="text-sm text-ink-2">{m.againWhy}</p>
            <Button variant="primary" onPress={() => setProving(true)}>
              {m.again}
            </Button>
          </div>
        ) : (
          <Button variant="primary" onPress={() => void enter()}>
            {desktop ? <Monitor size={14} aria-hidden /> : <SquareTerminal size={14} aria-hidden />}
            {m.connect}
          </Button>
        )}
      </section>
      {isProving && (
        <Suspense>
          <SignInAgain
            onSignedIn={() => {
              setProving(false)
              onSignedIn()
            }}
          />
        </Suspense>
      )}
    </main>
  )
}
