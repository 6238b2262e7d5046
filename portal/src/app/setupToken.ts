let token: string | undefined

/**
 * The one-time token of a /setup#token=… link. It leaves the address bar (and so the history and any screenshot)
 * the moment it is read, and lives on in memory only.
 */
export function setupToken() {
  const found = /^#token=(.+)$/.exec(location.hash)?.[1]
  if (found && location.pathname === '/setup') {
    token = decodeURIComponent(found)
    history.replaceState(history.state, '', location.pathname)
  }
  return token
}

/** The same by a temporary access pass. */
export function takeSetupToken(opened: string) {
  token = opened
}
