import { useState } from 'react'

/** What a form holds before it is sent, and which of its fields were touched: others are not to complain yet. */
export function useDraft<D extends object>(make: () => D) {
  const [initial] = useState(make)
  const [draft, setDraft] = useState(initial)
  const [touched, setTouched] = useState<ReadonlySet<keyof D>>(new Set())
  const set =
    <K extends keyof D>(field: K) =>
    (value: D[K]) => {
      setDraft((old) => ({ ...old, [field]: value }))
      setTouched((old) => new Set(old).add(field))
    }
  return { draft, set, touched, isChanged: JSON.stringify(draft) !== JSON.stringify(initial) }
}
