import type { ActivityEvent } from '../api/types.ts'
import { usePrincipalNames } from './usePrincipalNames.ts'

const objectId = 'http://schemas.microsoft.com/identity/claims/objectidentifier'

/** Who did something: the log names people by their user name and programs by an id that nobody knows by heart. */
export function useCallerName() {
  const { find } = usePrincipalNames()
  return ({ caller, claims }: ActivityEvent) => {
    const principal = find(claims[objectId] ?? '')
    return principal?.type === 'ServicePrincipal' ? principal.name : caller
  }
}
