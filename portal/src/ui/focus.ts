import { useEffect } from 'react'

/** When what had the focus is gone (the row was deleted, the page left), the keyboard goes on at the content. */
export function focusContent() {
  requestAnimationFrame(() => {
    if (document.activeElement === document.body) document.getElementById('main')?.focus({ preventScroll: true })
  })
}

/** A layer gives the focus back to what opened it; this is for when that is gone. */
export function useFocusAfterwards() {
  useEffect(() => () => focusContent(), [])
}
