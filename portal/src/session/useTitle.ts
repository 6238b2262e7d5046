import { useEffect } from 'react'

/** What the window is called, besides the product. */
export function useTitle(...parts: readonly (string | undefined)[]) {
  const title = [...parts, 'Sekisho'].filter(Boolean).join(' – ')
  useEffect(() => {
    document.title = title
  }, [title])
}
