import { useNavigate } from '@tanstack/react-router'
import { useEffect, useEffectEvent, useRef } from 'react'
import { navItems } from './nav.ts'
import { createStore } from './store.ts'

const key = 'sekisho.shortcuts'
/** How long the second key of a pair may take. */
const pairMs = 1_500

// Storage may be forbidden (private mode).
function stored() {
  try {
    return localStorage.getItem(key) !== 'off'
  } catch {
    return true
  }
}

/** Single keys get in the way of speech input, so that they can be switched off (WCAG 2.1.4). */
const single = createStore(stored())

export const useSingleKeys = single.use

export function setSingleKeys(on: boolean) {
  single.set(on)
  try {
    localStorage.setItem(key, on ? 'on' : 'off')
  } catch {
    // Private mode: the choice lasts as long as the tab.
  }
}

/** Where a letter is a letter, or means something else already. */
const ownKeys =
  'input, textarea, select, [contenteditable], [role=menu], [role=listbox], [role=dialog], [role=alertdialog]'

const focusSearch = () => document.querySelector<HTMLInputElement>('main input[type=search]')?.focus()

/** `Ctrl K` works everywhere; `/`, `?` and `g` with a letter where nothing else takes them. */
export function useShortcuts({ onPalette, onHelp }: { onPalette: () => void; onHelp: () => void }) {
  const navigate = useNavigate()
  const going = useRef(0)
  const onKey = useEffectEvent((event: KeyboardEvent) => {
    if (event.isComposing || event.defaultPrevented) return
    if (event.metaKey || event.ctrlKey) {
      if (event.key.toLowerCase() !== 'k') return
      event.preventDefault()
      return onPalette()
    }
    const target = event.target instanceof Element ? event.target : document.body
    const isTaken = target.closest(ownKeys) ?? document.querySelector('[aria-modal], [role=dialog], [role=alertdialog]')
    if (event.altKey || isTaken || !single.get()) return
    const page = navItems.find((item) => item.key === event.key)
    if (performance.now() - going.current < pairMs && page) void navigate({ to: page.to })
    else if (event.key === '?') onHelp()
    else if (event.key === '/') focusSearch()
    else {
      going.current = event.key === 'g' ? performance.now() : 0
      return
    }
    going.current = 0
    event.preventDefault()
  })
  useEffect(() => {
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [])
}
