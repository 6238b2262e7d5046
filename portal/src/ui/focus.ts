/**
 * When what had the focus is gone (the row was deleted, the page left), the keyboard goes on at the content instead of
 * at the top of the window. Layers give the focus back to what opened them; this is for when that is gone, too.
 */
export function keepFocusInContent() {
  let last: Element | null = null
  const remember = (event: FocusEvent) => {
    last = event.target instanceof Element ? event.target : null
  }
  const isLost = () => last !== null && !last.isConnected && document.activeElement === document.body
  const observer = new MutationObserver(() => {
    if (!isLost()) return
    // A layer that closes hands the focus on in the next frame.
    requestAnimationFrame(() =>
      requestAnimationFrame(() => {
        if (isLost()) document.getElementById('main')?.focus({ preventScroll: true })
      }),
    )
  })
  observer.observe(document.body, { childList: true, subtree: true })
  addEventListener('focusin', remember)
  return () => {
    observer.disconnect()
    removeEventListener('focusin', remember)
  }
}
