import { useQueryClient } from '@tanstack/react-query'
import { Outlet, useBlocker, useRouterState } from '@tanstack/react-router'
import { lazy, Suspense, useEffect, useEffectEvent, useState } from 'react'
import { checkSession, onSignedIn } from '../api/client.ts'
import { types } from '../api/keys.ts'
import { authQueries } from '../api/queries/auth.ts'
import type { Session } from '../api/types.ts'
import { cx } from '../ui/cx.ts'
import { keepFocusInContent } from '../ui/focus.ts'
import { Toasts } from '../ui/Toasts.tsx'
import { connectEvents, useLive } from './events.ts'
import { messages } from './i18n.ts'
import { LiveBanner } from './LiveBanner.tsx'
import { NoSubscription } from './NoSubscription.tsx'
import { PagePending } from './PagePending.tsx'
import { useScope } from './scope.ts'
import { useShortcuts } from './shortcuts.ts'
import { SideNav } from './SideNav.tsx'
import { useStepUp } from './stepUp.ts'
import { TopBar } from './TopBar.tsx'
import { mayLeave, useIsEdited, useLeaveQuestion } from './unsaved.ts'

const Palette = lazy(() => import('./Palette.tsx'))
const ShortcutHelp = lazy(() => import('./ShortcutHelp.tsx'))
const Notices = lazy(() => import('./Notices.tsx'))
const LeaveDialog = lazy(() => import('./LeaveDialog.tsx'))
const StepUpDialog = lazy(() => import('../features/signin/StepUpDialog.tsx'))
const SignInAgain = lazy(() => import('../features/signin/SignInAgain.tsx'))

const mustStay = async () => !(await mayLeave())

const m = messages({ skip: { en: 'Skip to content', ja: '本文へ移動' } })

/** Pages that have something to show to whoever may not see a single subscription. */
const alone = ['/sign-ins', '/everyone', '/my-roles']

export function Shell() {
  const client = useQueryClient()
  const path = useRouterState({ select: (state) => state.location.pathname })
  const { session, subscription } = useScope()
  // Colours say how things are right now, which nobody knows at the moment.
  const offline = useLive().state === 'offline'
  const [palette, setPalette] = useState(false)
  const [help, setHelp] = useState(false)
  const [signedOut, setSignedOut] = useState(false)
  const answerLeave = useLeaveQuestion()
  const stepUp = useStepUp()

  useBlocker({ shouldBlockFn: mustStay, enableBeforeUnload: false, disabled: !useIsEdited() })

  useEffect(() => connectEvents(client), [client])
  const onSession = useEffectEvent((now: Session | undefined) => {
    if (!now) return setSignedOut(true)
    // What is on the page belongs to whoever loaded it.
    if (now.person.id !== session.person.id) return location.reload()
    client.setQueryData(authQueries.session().queryKey, now)
    // What was refused in between is asked again.
    if (signedOut) void client.invalidateQueries({ predicate: ({ queryKey }) => queryKey[0] !== types.session })
    setSignedOut(false)
  })
  useEffect(() => onSignedIn(onSession), [])
  useShortcuts({ onPalette: () => setPalette(true), onHelp: () => setHelp(true) })
  useEffect(keepFocusInContent, [])

  return (
    <>
      <a
        href="#main"
        className="sr-only focus:not-sr-only focus:fixed focus:z-50 focus:m-2 focus:rounded focus:bg-accent focus:px-3 focus:py-2 focus:text-accent-ink"
      >
        {m.skip}
      </a>
      <div className="grid h-screen grid-cols-[224px_1fr] grid-rows-[52px_1fr]">
        <SideNav path={path} />
        <TopBar onSearch={() => setPalette(true)} onHelp={() => setHelp(true)} />
        <div className="flex min-h-0 min-w-0 flex-col">
          <LiveBanner />
          <Suspense>
            <Notices />
          </Suspense>
          <main
            id="main"
            tabIndex={-1}
            className={cx('min-h-0 flex-1 overflow-auto outline-none', offline && 'grayscale-75')}
          >
            <Suspense fallback={<PagePending />}>
              {subscription || alone.includes(path) ? <Outlet /> : <NoSubscription />}
            </Suspense>
          </main>
        </div>
      </div>
      <Suspense>
        {palette && <Palette onClose={() => setPalette(false)} />}
        {help && <ShortcutHelp onClose={() => setHelp(false)} />}
        {answerLeave && <LeaveDialog answer={answerLeave} />}
        {stepUp && <StepUpDialog key={stepUp.asked.ceremony} question={stepUp} />}
        {signedOut && <SignInAgain onSignedIn={() => void checkSession()} />}
      </Suspense>
      <Toasts />
    </>
  )
}
