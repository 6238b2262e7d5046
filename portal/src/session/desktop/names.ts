import { isWatching, targetName } from '../../domain/bastion.ts'
import { plainText } from '../../domain/plainText.ts'
import type { DesktopSession } from './session.ts'

/** As its window calls it. Whose account is looked at, only the server knows. */
export function nameOfDesktop({ target, shown: { ready } }: DesktopSession) {
  const account = ready?.account ?? (isWatching(target) ? undefined : target.account)
  return targetName({ machine: target.machine, account: account && plainText(account) })
}
