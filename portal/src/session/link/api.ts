import { call } from '../../api/client.ts'
import type { LentLogin } from '../../api/types.ts'

export type Lent = LentLogin

/** A question, though with a secret in it that belongs into no address. */
export const inspect = (token: string) => call<Lent>('POST', '/bastions/links/inspect', { body: { token } })
