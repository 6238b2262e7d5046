import { useSyncExternalStore } from 'react'

export type Locale = 'ja' | 'en'

type Message = string | ((...args: never[]) => string)
type Pair = { en: string; ja: string } | { en: (...args: never[]) => string; ja: (...args: never[]) => string }

const listeners = new Set<() => void>()
let locale: Locale = typeof document !== 'undefined' && document.documentElement.lang === 'ja' ? 'ja' : 'en'

export const getLocale = () => locale

export function setLocale(next: Locale) {
  locale = next
  document.documentElement.lang = next
  try {
    localStorage.setItem('sekisho.locale', next)
  } catch {
    // Private mode: the choice lasts as long as the tab.
  }
  for (const listener of listeners) listener()
}

function subscribe(listener: () => void) {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

export const useLocale = () => useSyncExternalStore(subscribe, getLocale)

/** Both languages sit side by side, so a missing or differently typed translation does not compile. */
export function messages<const T extends Record<string, Pair>>(table: T) {
  const texts = {} as { readonly [K in keyof T]: T[K]['en'] extends string ? string : T[K]['en'] }
  for (const key of Object.keys(table)) {
    Object.defineProperty(texts, key, { enumerable: true, get: (): Message => (table[key] as Pair)[locale] })
  }
  return texts
}

export const localeTag = () => (locale === 'ja' ? 'ja-JP' : 'en-US')
