import { useEffect, useState } from 'react'

/** Chromium gives a page in full screen also the keys that the system would take, such as Alt+Tab. */
type WithLock = Navigator & { keyboard?: { lock?: () => Promise<void>; unlock?: () => void } }
const { keyboard } = navigator as WithLock

/** The whole document, so that dialogs are seen in front of the desktop. */
export async function enterFullScreen() {
  try {
    await document.documentElement.requestFullscreen()
    await keyboard?.lock?.()
  } catch {
    // The browser does not want to, and says so itself.
  }
}

export const leaveFullScreen = () => void (document.fullscreenElement && document.exitFullscreen())

export function useFullScreen() {
  const [isFull, setFull] = useState(() => document.fullscreenElement !== null)
  useEffect(() => {
    const follow = () => {
      if (!document.fullscreenElement) keyboard?.unlock?.()
      setFull(document.fullscreenElement !== null)
    }
    document.addEventListener('fullscreenchange', follow)
    return () => document.removeEventListener('fullscreenchange', follow)
  }, [])
  return isFull
}
