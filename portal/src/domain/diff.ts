export type Difference = { path: string; before?: string; after?: string }

function flatten(value: unknown, path: string, into: Map<string, string>) {
  if (Array.isArray(value) && value.every((item) => typeof item !== 'object')) into.set(path, value.join(', '))
  else if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value)) flatten(item, path ? `${path}.${key}` : key, into)
  } else if (value !== undefined && value !== null) into.set(path, String(value))
  // Nothing in a list is nothing to show.
  if (into.get(path) === '') into.delete(path)
}

/** The resource's identity (shown as the heading) and bookkeeping that changes with every write. */
const noise = /^(id|name|type)$|(^|\.)(etag|provisioningState|resourceGuid|(created|updated)(On|By))$/

/** Which leaves of two JSON values differ, by path. */
export function difference(before: unknown, after: unknown): Difference[] {
  const [old, now] = [new Map<string, string>(), new Map<string, string>()]
  flatten(before, '', old)
  flatten(after, '', now)
  return [...new Set([...old.keys(), ...now.keys()])]
    .filter((path) => !noise.test(path) && old.get(path) !== now.get(path))
    .map((path) => ({ path, before: old.get(path), after: now.get(path) }))
}
