import { useSyncExternalStore } from 'react'

export type Toast = { id: number; text: string }

let toasts: readonly Toast[] = []
let lastId = 0
const listeners = new Set<() => void>()

function set(next: readonly Toast[]) {
  toasts = next
  for (const listener of listeners) listener()
}

function subscribe(listener: () => void) {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** Says that something worked. Failures are shown where they happened, never in a toast that goes away. */
export function toast(text: string) {
  const id = ++lastId
  set([...toasts, { id, text }])
  setTimeout(() => set(toasts.filter((item) => item.id !== id)), 6_000)
}

export const useToasts = () => useSyncExternalStore(subscribe, () => toasts)
