import { useQueryClient } from '@tanstack/react-query'
import { Outlet, useRouterState } from '@tanstack/react-router'
import { lazy, Suspense, useEffect, useState } from 'react'
import { onSignedOut } from '../api/client.ts'
import { types } from '../api/keys.ts'
import { Toasts } from '../ui/Toasts.tsx'
import { connectEvents } from './events.ts'
import { messages } from './i18n.ts'
import { LiveBanner } from './LiveBanner.tsx'
import { NoSubscription } from './NoSubscription.tsx'
import { PagePending } from './PagePending.tsx'
import { useScope } from './scope.ts'
import { SideNav } from './SideNav.tsx'
import { TopBar } from './TopBar.tsx'

const Palette = lazy(() => import('./Palette.tsx'))
const SignInAgain = lazy(() => import('../features/signin/SignInAgain.tsx'))

const m = messages({ skip: { en: 'Skip to content', ja: '本文へ移動' } })

export function Shell() {
  const client = useQueryClient()
  const path = useRouterState({ select: (state) => state.location.pathname })
  const { subscription } = useScope()
  const [palette, setPalette] = useState(false)
  const [signedOut, setSignedOut] = useState(false)

  useEffect(() => connectEvents(client), [client])
  useEffect(() => onSignedOut(() => setSignedOut(true)), [])
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.isComposing || !(event.metaKey || event.ctrlKey) || event.key.toLowerCase() !== 'k') return
      event.preventDefault()
      setPalette(true)
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [])

  const onSignedIn = () => {
    setSignedOut(false)
    void client.invalidateQueries({ predicate: (query) => query.queryKey[0] !== types.session })
  }

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
        <TopBar onSearch={() => setPalette(true)} />
        <main id="main" tabIndex={-1} className="min-h-0 min-w-0 overflow-auto outline-none">
          <LiveBanner />
          <Suspense fallback={<PagePending />}>
            {subscription || path === '/sessions' ? <Outlet /> : <NoSubscription />}
          </Suspense>
        </main>
      </div>
      <Suspense>
        {palette && <Palette onClose={() => setPalette(false)} />}
        {signedOut && <SignInAgain onSignedIn={onSignedIn} />}
      </Suspense>
      <Toasts />
    </>
  )
}
