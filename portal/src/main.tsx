import './index.css'
import { QueryClientProvider } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
// Before the router, which rewrites the address.
import './app/authorizationQuery.ts'
import { queryClient } from './app/query.ts'
import { router } from './app/router.tsx'
import { setupToken } from './app/setupToken.ts'

setupToken()

// A page that stayed open over an upgrade asks for chunks that are gone: load the new portal, but never in a loop, and not
// when it is the server that is gone, because what is on the page would be gone, too.
addEventListener('vite:preloadError', () => {
  const last = Number(sessionStorage.getItem('sekisho.reloaded') ?? 0)
  if (Date.now() - last < 30_000) return
  void fetch('/', { method: 'HEAD' }).then(
    () => {
      sessionStorage.setItem('sekisho.reloaded', String(Date.now()))
      location.reload()
    },
    () => undefined,
  )
})

const root = document.getElementById('root')
if (!root) throw new Error('index.html has no #root')

createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={queryClient}>
      <RouterProvider router={router} />
    </QueryClientProvider>
  </StrictMode>,
)
