import { createStore } from './store.ts'

export type Toast = { id: number; text: string }

const toasts = createStore<readonly Toast[]>([])
let lastId = 0

/** Says that something worked. Failures are shown where they happened, never in a toast that goes away. */
export function toast(text: string) {
  const id = ++lastId
  toasts.set([...toasts.get(), { id, text }])
  setTimeout(() => toasts.set(toasts.get().filter((item) => item.id !== id)), 6_000)
}

export const useToasts = toasts.use
