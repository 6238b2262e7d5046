import { QueryClient } from '@tanstack/react-query'
import { ApiError } from '../api/errors.ts'

/** Refusals do not get better by asking again; a server error or a lost connection may, once. */
const worthRetrying = (error: unknown) => !(error instanceof ApiError) || error.status === 0 || error.status >= 500

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 30_000,
      retry: (failures, error) => failures < 1 && worthRetrying(error),
      refetchOnWindowFocus: false,
    },
  },
})
