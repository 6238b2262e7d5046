import type { Machine } from '../api/types.ts'
import { nameOf } from './armId.ts'

/**
 * The grid's filter language, as it stands in the URL: `key:value`, or `-key:value` for NOT.
 * Values of one key are alternatives, keys narrow each other, a NOT always excludes.
 */
export const facetKeys = ['status', 'network', 'nsg', 'os', 'group', 'location', 'tag'] as const
export type FacetKey = (typeof facetKeys)[number]
export type Term = { key: FacetKey; value: string; not: boolean }

/** The value of `nsg` for a machine that no security group guards. */
export const noNsg = 'none'

const values: Record<FacetKey, (machine: Machine) => string[]> = {
  status: (machine) => [machine.status],
  network: (machine) => [machine.network.state],
  nsg: (machine) => (machine.nsgs.length > 0 ? machine.nsgs.map((id) => nameOf(id).toLowerCase()) : [noNsg]),
  os: (machine) => [`${machine.os.name} ${machine.os.version}`.trim()],
  group: (machine) => [machine.resourceGroup],
  location: (machine) => [machine.location],
  tag: (machine) => Object.entries(machine.tags).map(([name, value]) => `${name}=${value}`),
}

export function parseTerm(text: string): Term | undefined {
  const match = /^(-?)([a-z]+):(.+)$/.exec(text)
  const key = facetKeys.find((item) => item === match?.[2])
  if (!match || !key) return
  return { key, value: match[3] ?? '', not: match[1] === '-' }
}

export const formatTerm = ({ key, value, not }: Term) => `${not ? '-' : ''}${key}:${value}`

export function parseTerms(texts: string[] | undefined) {
  return (texts ?? []).map(parseTerm).filter((term) => term !== undefined)
}

/** What filtering asks of a machine again and again, made once: its texts in lower case, its values by facet. */
type Indexed = { haystack: string; values: Record<FacetKey, string[]> }

const index = new WeakMap<Machine, Indexed>()

function indexed(machine: Machine): Indexed {
  const known = index.get(machine)
  if (known) return known
  const { name, resourceGroup, os, kernel, addresses, tags } = machine
  const texts = [name, resourceGroup, os.prettyName, kernel, ...addresses, ...Object.entries(tags).flat()]
  const made: Indexed = {
    haystack: texts.join('\n').toLowerCase(),
    values: Object.fromEntries(facetKeys.map((key) => [key, values[key](machine)])) as Indexed['values'],
  }
  index.set(machine, made)
  return made
}

function matches(has: string[], terms: Term[]) {
  const wanted = terms.filter((term) => !term.not)
  if (terms.some((term) => term.not && has.includes(term.value))) return false
  return wanted.length === 0 || wanted.some((term) => has.includes(term.value))
}

export type Facets = Record<FacetKey, [value: string, count: number][]>

/**
 * One pass gives the rows, in the order given, and the counts; a facet counts what its other values would show, so it
 * ignores itself.
 */
export function filterMachines(machines: Machine[], query: string, terms: Term[]): { rows: Machine[]; facets: Facets } {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean)
  const byKey = facetKeys.map((key) => ({
    key,
    terms: terms.filter((term) => term.key === key),
    counts: new Map<string, number>(),
  }))
  const narrowing = byKey.filter((facet) => facet.terms.length > 0)
  const rows: Machine[] = []
  for (const machine of machines) {
    const { haystack, values: has } = indexed(machine)
    if (!words.every((word) => haystack.includes(word))) continue
    const failed = narrowing.filter((facet) => !matches(has[facet.key], facet.terms))
    if (failed.length > 1) continue
    if (failed.length === 0) rows.push(machine)
    for (const { key, counts } of failed.length === 1 ? failed : byKey) {
      for (const value of has[key]) counts.set(value, (counts.get(value) ?? 0) + 1)
    }
  }
  const facets = Object.fromEntries(
    byKey.map(({ key, counts }) => [key, [...counts].toSorted(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))]),
  ) as Facets
  return { rows, facets }
}

/** What a machine has not told sorts before everything. */
export type SortKey = string | number | null

/** Keys are computed once per row; equal keys keep their order. */
export function sortBy<T>(rows: T[], key: (row: T) => SortKey, descending: boolean): T[] {
  const direction = descending ? -1 : 1
  const keyed = rows.map((row) => [key(row), row] as const)
  keyed.sort(([a], [b]) => {
    if (a === null || b === null) return a === b ? 0 : a === null ? -direction : direction
    return a < b ? -direction : a > b ? direction : 0
  })
  return keyed.map(([, row]) => row)
}
