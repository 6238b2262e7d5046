/** Azure Resource Manager ids: `/subscriptions/…/providers/Namespace/type/name[/childType/childName]`, case-insensitive. */

export type ArmId = {
  id: string
  /** Lower case, e.g. `microsoft.network/networksecuritygroups/securityrules`. */
  type: string
  name: string
  subscriptionId?: string
  resourceGroup?: string
  /** The resource a child or extension hangs on. */
  parent?: string
}

export function parseArmId(text: string | undefined): ArmId | undefined {
  if (!text) return
  const segments = text
    .trim()
    .replace(/^\/+|\/+$/g, '')
    .split('/')
  if (segments.length < 2 || segments.length % 2 !== 0 || segments.some((part) => part === '' || /[?#\s]/.test(part)))
    return
  const first = segments[0]?.toLowerCase()
  if (first !== 'subscriptions' && first !== 'providers') return

  let type = ''
  let namespace = ''
  const result: Partial<ArmId> = {}
  for (let at = 0; at < segments.length; at += 2) {
    const key = segments[at]?.toLowerCase() ?? ''
    const value = segments[at + 1] ?? ''
    if (key === 'providers') {
      namespace = value.toLowerCase()
      type = namespace
      continue
    }
    if (!namespace && key === 'subscriptions') result.subscriptionId = value
    if (!namespace && key === 'resourcegroups') result.resourceGroup = value
    type = namespace ? `${type}/${key}` : `microsoft.resources/${key}`
    result.name = value
  }
  if (!result.name) return
  const id = `/${segments.join('/')}`
  const parent =
    segments.length > 2
      ? `/${segments.slice(0, segments.at(-4)?.toLowerCase() === 'providers' ? -4 : -2).join('/')}`
      : undefined
  return { ...result, id, type, name: result.name, ...(parent && parent !== '/' ? { parent } : {}) }
}

/** Splits `…/name/tab`: ids have an even number of segments, so an odd last one is the tab. */
export function splitTab(path: string): { id: string; tab?: string } {
  const segments = path.replace(/^\/+|\/+$/g, '').split('/')
  if (segments.length % 2 === 0) return { id: `/${segments.join('/')}` }
  return { id: `/${segments.slice(0, -1).join('/')}`, tab: segments.at(-1) }
}

export const sameId = (a: string | undefined, b: string | undefined) =>
  a !== undefined && b !== undefined && a.toLowerCase() === b.toLowerCase()

export const nameOf = (id: string) => id.slice(id.lastIndexOf('/') + 1)

export const typeOf = (id: string) => parseArmId(id)?.type ?? ''
