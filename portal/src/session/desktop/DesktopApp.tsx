import { ClipboardX, Copy, LogOut, Monitor } from 'lucide-react'
import { lazy, Suspense, useEffect, useRef, useState } from 'react'
import { checkSession, onSignedIn } from '../../api/client.ts'
import { isWatching } from '../../domain/bastion.ts'
import { Button } from '../../ui/Button.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Mark } from '../../ui/Mark.tsx'
import { Banner, Banners } from '../Banners.tsx'
import { common } from '../messages.ts'
import { Refusal } from '../Refusal.tsx'
import { Mark as Standing, StatusBar } from '../StatusBar.tsx'
import { useTitle } from '../useTitle.ts'
import { enterFullScreen, leaveFullScreen, useFullScreen } from './fullScreen.ts'
import { LoginForm } from './LoginForm.tsx'
import { m } from './messages.ts'
import { nameOfDesktop } from './names.ts'
import { onLeaveDesktop, reopen, restore, useOpened } from './opened.ts'
import { type DesktopSession, wantsPassword } from './session.ts'
import { Toolbar } from './Toolbar.tsx'

const CloseDialog = lazy(async () => ({ default: (await import('../CloseDialog.tsx')).CloseDialog }))

let isRestored = false

export default function DesktopApp() {
  const session = useOpened()
  useEffect(() => {
    // Once, whatever React or a change of the language does.
    if (isRestored) return
    isRestored = true
    restore()
  }, [])
  if (session) return <Window key={session.key} session={session} />
  return (
    <main className="grid h-screen place-items-center">
      <EmptyState
        icon={<Monitor size={20} aria-hidden />}
        title={m.nowhere}
        action={
          <a className="text-accent underline" href="/machines">
            {common.portal}
          </a>
        }
      >
        {m.nowhereWhy}
      </EmptyState>
    </main>
  )
}

function Window({ session }: { session: DesktopSession }) {
  const { link, size, asks } = session.use()
  const [isClosing, setClosing] = useState(false)
  const [isDenied, setDenied] = useState(false)
  const header = useRef<HTMLElement>(null)
  const isFull = useFullScreen()
  const name = nameOfDesktop(session)
  const { target } = session
  const form = asks && !isWatching(target) ? target : undefined
  const refused = link.is === 'refused' ? link.error : undefined
  useTitle(name)
  useEffect(() => {
    onLeaveDesktop(() => {
      leaveFullScreen()
      header.current?.querySelector<HTMLElement>('a, button')?.focus()
    })
  }, [])
  // What was refused for want of a sign-in is asked for again.
  useEffect(() => onSignedIn((who) => who && session.shown.link.is === 'refused' && session.connect()), [session])
  return (
    <div className="flex h-screen min-h-0 flex-col bg-bg">
      <header ref={header} hidden={isFull} className="flex h-10 shrink-0 items-center gap-3 border-b border-line px-3">
        <a href="/sessions" aria-label={common.portal}>
          <Mark size={20} />
        </a>
        <h1 className="min-w-0 flex-1 truncate text-sm font-medium">{name}</h1>
        <Toolbar
          session={session}
          onFullScreen={() => {
            void enterFullScreen()
            session.desk.focus()
          }}
          onClipboardDenied={() => setDenied(true)}
          onEnd={() => setClosing(true)}
        />
      </header>
      {!form && <Banners session={session} />}
      <Clipboard session={session} isDenied={isDenied} onRead={() => setDenied(false)} />
      <main className="relative min-h-0 flex-1">
        <Screen session={session} name={name} isHidden={form !== undefined} />
        {form ? (
          <div className="absolute inset-0 grid overflow-auto bg-bg p-6">
            <LoginForm
              target={form}
              name={name}
              error={wantsPassword(refused) ? refused : undefined}
              onBegin={(password) => session.begin(password)}
            />
          </div>
        ) : (
          refused !== undefined && (
            <div className="absolute inset-0 grid bg-bg/95">
              <Refusal
                error={refused}
                onRetry={() => {
                  void checkSession().catch(() => undefined)
                  session.connect()
                }}
              />
            </div>
          )
        )}
      </main>
      <p role="status" className="sr-only">
        {link.is === 'open' && size && `${m.picture(name)}, ${m.size(size.width, size.height)}`}
      </p>
      {!(isFull && link.is === 'open') && (
        <StatusBar session={session} onAgain={() => reopen(session)}>
          {size && <Standing icon={<Monitor size={12} aria-hidden />} text={m.size(size.width, size.height)} />}
          <Standing icon={<LogOut size={12} aria-hidden />} text={m.leaveHint} why={m.leaveWhy} />
        </StatusBar>
      )}
      <Suspense>
        {isClosing && (
          <CloseDialog
            session={session}
            name={name}
            isWatching={isWatching(target)}
            onClose={() => setClosing(false)}
          />
        )}
      </Suspense>
    </div>
  )
}

/** Where the picture is. It has its room also while something lies over it, since a session begins with that size. */
function Screen({ session, name, isHidden }: { session: DesktopSession; name: string; isHidden: boolean }) {
  const place = useRef<HTMLDivElement>(null)
  const { link } = session.use()
  const isOpen = link.is === 'open'
  useEffect(() => {
    const { current } = place
    if (!current) return
    session.desk.mount(current)
    session.connect()
    return () => session.desk.unmount()
  }, [session])
  useEffect(() => session.desk.describe(m.picture(name), m.keys(name)), [session, name])
  useEffect(() => {
    if (isOpen) session.desk.focus()
  }, [session, isOpen])
  return <div ref={place} inert={isHidden || link.is === 'ended'} className="absolute inset-0" />
}

function Clipboard({ session, isDenied, onRead }: { session: DesktopSession; isDenied: boolean; onRead: () => void }) {
  const { copied, isTooLong } = session.use()
  return (
    <>
      {copied !== undefined && (
        <Banner
          tone="info"
          icon={<Copy size={15} aria-hidden />}
          action={
            <Button size="sm" onPress={session.takeCopied}>
              {m.takeCopied}
            </Button>
          }
        >
          {m.copied}
        </Banner>
      )}
      {isTooLong && (
        <Banner tone="med" isAlert icon={<ClipboardX size={15} aria-hidden />}>
          {m.tooLong}
        </Banner>
      )}
      {isDenied && (
        <Banner
          tone="med"
          isAlert
          icon={<ClipboardX size={15} aria-hidden />}
          action={
            <Button size="sm" onPress={onRead}>
              {common.read}
            </Button>
          }
        >
          {m.clipboardDenied}
        </Banner>
      )}
    </>
  )
}
