import { nameOf } from '../../domain/armId.ts'
import { isWatching, targetName } from '../../domain/bastion.ts'
import { plainText } from '../../domain/plainText.ts'
import type { TerminalSession } from './session.ts'

/** As its tab calls it: who is where. Whose account is looked at, only the server knows. */
export function nameOfSession({ target, shown: { ready } }: TerminalSession) {
  if (!isWatching(target)) return targetName(target)
  return ready ? targetName({ machine: target.machine, account: plainText(ready.account) }) : nameOf(target.machine)
}
