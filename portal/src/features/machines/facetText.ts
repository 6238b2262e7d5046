import { type FacetKey, noNsg, type Term } from '../../domain/machineFilter.ts'
import { networkText, statusText } from '../../parts/status.ts'
import { m } from './messages.ts'

const has = <T extends object>(table: T, key: string): key is string & keyof T => key in table

/** A facet's value as people read it. */
export function facetText(key: FacetKey, value: string) {
  if (key === 'status' && has(statusText, value)) return statusText[value]
  if (key === 'network' && has(networkText, value)) return networkText[value]
  if (key === 'nsg' && value === noNsg) return m.none
  return value
}

export function termText({ key, value, not }: Term) {
  const text = `${m[key]}: ${facetText(key, value)}`
  return not ? m.not(text) : text
}
