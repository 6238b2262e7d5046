import { QueryClient } from '@tanstack/react-query'
import { ApiError } from '../api/errors.ts'

/** Refusals do not get better by asking again; a server error or a lost connection may, once. */
const worthRetrying = (error: unknown) => !(error instanceof ApiError) || error.status === 0 || error.status >= 500

export const queryClient = new QueryClient({
  defaultOptions: {
    // Whether the server can be reached is found out by asking: the browser knows only of its own network, and a write
    // that waited for it would happen when nobody expects it any more.
    mutations: { networkMode: 'always' },
    queries: {
      networkMode: 'always',
      staleTime: 30_000,
      retry: (failures, error) => failures < 1 && worthRetrying(error),
      refetchOnWindowFocus: false,
    },
  },
})
