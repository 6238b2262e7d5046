/** Search params come from outside: anything of the wrong type counts as absent. */

export const text = (value: unknown) => {
  if (typeof value === 'number') return String(value)
  return typeof value === 'string' && value !== '' ? value : undefined
}

export const list = (value: unknown) => {
  if (!Array.isArray(value)) return
  const items = value.filter((item) => typeof item === 'string')
  return items.length > 0 ? items : undefined
}

export const flag = (value: unknown) => (value === true ? true : undefined)

export const count = (value: unknown) => (typeof value === 'number' && value > 0 ? value : undefined)

type Readers = Record<string, (value: unknown) => unknown>

/** A route's search params by name; each reader answers `undefined` for what it does not accept. */
export function params<T extends Readers>(readers: T) {
  return (search: Record<string, unknown>): { [K in keyof T]?: ReturnType<T[K]> } => {
    const read = Object.entries(readers).map(([name, reader]) => [name, reader(search[name])] as const)
    return Object.fromEntries(read.filter(([, value]) => value !== undefined)) as { [K in keyof T]?: ReturnType<T[K]> }
  }
}
