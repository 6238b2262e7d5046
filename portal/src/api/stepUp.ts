import { getPasskey } from './passkey.ts'

/** What the server wants to have confirmed before it does it; of the refusal's additional information. */
export type StepUp = {
  reason: 'rights' | 'role' | 'deny' | 'lock' | 'policy' | 'programSecret' | 'otherPerson' | 'otherSession' | 'lending'
  ceremony: string
  method: 'passkey' | 'password'
  publicKey?: PublicKeyCredentialRequestOptionsJSON
}

/** A request that waits for its confirmation. */
export type Asking = StepUp & { target: string }
type Confirm = (asked: Asking) => Promise<string>

let confirm: Confirm | undefined

/** Whoever asks the person; without anybody, what must be confirmed is refused. */
export function onStepUp(ask: Confirm) {
  confirm = ask
  return () => {
    confirm = undefined
  }
}

/** The approval of exactly one request. */
export const askToConfirm = (asked: Asking) => confirm?.(asked)

/** What is sent to prove it. */
export async function proofBy(asked: Asking, typed: { password: string; code: string }, signal: AbortSignal) {
  const { ceremony, publicKey } = asked
  return publicKey ? { ceremony, credential: await getPasskey(publicKey, { signal }) } : { ceremony, ...typed }
}
