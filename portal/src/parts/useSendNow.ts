import { useMutation, useQueryClient } from '@tanstack/react-query'
import { review, type Write } from '../api/writes.ts'
import { carryOut } from '../app/operations.ts'

/**
 * For dialogs that are nothing but the choice itself, such as taking a role for an hour: what they say is the whole
 * effect, and a review would say it again. The server still tries the write first.
 */
export function useSendNow<Choice>(make: (choice: Choice) => Write | Promise<Write>, onSuccess: () => void) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: async (choice: Choice) => {
      const write = await make(choice)
      return carryOut(await review([write]), (send) => send(write))
    },
    // A choice may be a password, which is not to be found anywhere once it was sent.
    gcTime: 0,
    onSuccess,
    onSettled: () => client.invalidateQueries(),
  })
}
