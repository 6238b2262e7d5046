import { getLocale, localeTag } from './i18n.ts'

const cache = new Map<string, Intl.NumberFormat | Intl.DateTimeFormat | Intl.RelativeTimeFormat>()

function cached<T extends Intl.NumberFormat | Intl.DateTimeFormat | Intl.RelativeTimeFormat>(
  key: string,
  make: () => T,
): T {
  const full = getLocale() + key
  const found = cache.get(full)
  if (found) return found as T
  const made = make()
  cache.set(full, made)
  return made
}

export const num = (value: number) => cached('num', () => new Intl.NumberFormat(localeTag())).format(value)

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

export function bytes(value: number) {
  const step = value < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(value) / 10))
  const format = cached('bytes', () => new Intl.NumberFormat(localeTag(), { maximumFractionDigits: 1 }))
  return `${format.format(value / 1024 ** step)} ${units[step]}`
}

const spans = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
] as const

/** Distance from now: past times read "2 min. ago", future ones "in 2 min." */
export function ago(iso: string, nowMs = Date.now()) {
  const sec = Math.round((Date.parse(iso) - nowMs) / 1000)
  const format = cached('ago', () => new Intl.RelativeTimeFormat(localeTag(), { numeric: 'always', style: 'short' }))
  for (const [unit, size] of spans) {
    if (Math.abs(sec) >= size) return format.format(Math.trunc(sec / size), unit)
  }
  return format.format(sec, 'second')
}

export const dateTime = (iso: string) =>
  cached('dateTime', () => new Intl.DateTimeFormat(localeTag(), { dateStyle: 'medium', timeStyle: 'medium' })).format(
    new Date(iso),
  )

/** en needs a plural, ja a counter; both are given whole so that no sentence is glued together. */
export const plural = (count: number, one: string, other: string) => `${num(count)} ${count === 1 ? one : other}`
