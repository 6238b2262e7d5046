import './adopt.ts'
import '../index.css'
import './session.css'
import { QueryClientProvider } from '@tanstack/react-query'
import { lazy, StrictMode, Suspense } from 'react'
import { createRoot } from 'react-dom/client'
import { LocaleBoundary } from '../app/LocaleBoundary.tsx'
import { queryClient } from '../app/query.ts'
import { SignedIn } from './SignedIn.tsx'

const TerminalApp = lazy(() => import('./terminal/TerminalApp.tsx'))
const DesktopApp = lazy(() => import('./desktop/DesktopApp.tsx'))
const LinkApp = lazy(() => import('./link/LinkApp.tsx'))
const ReplayApp = lazy(() => import('./replay/ReplayApp.tsx'))

function App({ personId }: { personId: string }) {
  if (location.pathname === '/session/replay') return <ReplayApp />
  if (location.pathname === '/session/desktop') return <DesktopApp />
  if (location.pathname === '/session/link') return <LinkApp />
  return <TerminalApp personId={personId} />
}

const root = document.getElementById('root')
if (!root) throw new Error('session.html has no #root')

createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={queryClient}>
      <LocaleBoundary>
        <SignedIn>
          {(person) => (
            <Suspense>
              <App personId={person.id} />
            </Suspense>
          )}
        </SignedIn>
      </LocaleBoundary>
    </QueryClientProvider>
  </StrictMode>,
)
