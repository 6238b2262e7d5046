import { queryOptions } from '@tanstack/react-query'
import { types } from '../keys.ts'

/**
 * Which requests for access, and for more time, of a subscription wait for this person. Every page shows it, so what it
 * takes is loaded when it is asked. Its key is under that of the policies: an event about them asks anew.
 */
export const jitWaiting = (subscription: string, person: string) =>
  queryOptions({
    queryKey: [types.jit, subscription, 'waiting', person],
    enabled: subscription !== '',
    queryFn: async ({ client }) => {
      const { waitingFor } = await import('../waitingFor.ts')
      return waitingFor(client, subscription, person)
    },
  })
