import { createStore } from '../../app/store.ts'
import { type SchemeId, schemeIds } from './schemes.ts'

export type Prefs = { scheme: SchemeId; fontSize: number; screenReader: boolean }

export const fontSizes = [11, 12, 13, 14, 16, 18, 20, 24]
const standard: Prefs = { scheme: 'portal', fontSize: 14, screenReader: false }

/** Of what an earlier version may have kept, as much as makes sense. */
export function readPrefs(text: string | null): Prefs {
  let kept: Partial<Record<keyof Prefs, unknown>> = {}
  try {
    const value: unknown = JSON.parse(text ?? '{}')
    if (typeof value === 'object' && value !== null) kept = value
  } catch {
    // As if nothing was kept.
  }
  return {
    scheme: schemeIds.find((id) => id === kept.scheme) ?? standard.scheme,
    fontSize: fontSizes.find((size) => size === kept.fontSize) ?? standard.fontSize,
    screenReader: kept.screenReader === true,
  }
}

const prefs = createStore(standard)
let key: string | undefined

export const usePrefs = prefs.use
export const getPrefs = prefs.get
export const onPrefs = prefs.subscribe

/** Each person of a browser has their own. */
export function loadPrefs(personId: string) {
  key = `sekisho.terminal.${personId}`
  try {
    prefs.set(readPrefs(localStorage.getItem(key)))
  } catch {
    // Private mode.
  }
}

export function setPrefs(change: Partial<Prefs>) {
  prefs.set({ ...prefs.get(), ...change })
  try {
    if (key) localStorage.setItem(key, JSON.stringify(prefs.get()))
  } catch {
    // Private mode: the choice lasts as long as the tab.
  }
}
