import { nameOf, parseArmId } from '../../domain/armId.ts'
import { m } from './messages.ts'

/** A scope in words: root, subscription, resource group or the name of one resource. */
export function scopeText(scope: string, subscriptions: { id: string; displayName: string }[]) {
  if (scope === '/' || scope === '') return m.root
  const parsed = parseArmId(scope)
  const subscription = subscriptions.find((item) => item.id.toLowerCase() === scope.toLowerCase())
  if (subscription) return `${m.subscription} ${subscription.displayName}`
  if (parsed?.type === 'microsoft.resources/resourcegroups') return `${m.group} ${parsed.name}`
  return nameOf(scope)
}
