import { createStore } from '../../app/store.ts'
import { desktopAddress, readDesktop, readLink } from '../../domain/bastion.ts'
import { DesktopSession, type From } from './session.ts'

/** The one session of a window. A reload finds it again, by its id and the address that it is of: no secret. */
const key = 'sekisho.desktop'

const opened = createStore<DesktopSession | undefined>(undefined)
/** Keys that lead out of a desktop go to what is above it. */
const leaving = { to: () => undefined as void }

export const useOpened = opened.use
export const onLeaveDesktop = (to: () => void) => (leaving.to = to)

function keptFor(address: string) {
  try {
    const kept: unknown = JSON.parse(sessionStorage.getItem(key) ?? 'null')
    if (typeof kept !== 'object' || kept === null || !('address' in kept) || !('sessionId' in kept)) return
    return kept.address === address && typeof kept.sessionId === 'string' ? kept.sessionId : undefined
  } catch {
    return
  }
}

function keep(address: string, sessionId: string | undefined) {
  try {
    if (sessionId === undefined) sessionStorage.removeItem(key)
    else sessionStorage.setItem(key, JSON.stringify({ address, sessionId }))
  } catch {
    // Without storage, a reload begins anew.
  }
}

/** What the address asks for, as far as it had come before a reload. */
export function restore() {
  const target = readDesktop(location.search)
  if (!target) return
  const address = desktopAddress(target)
  open(target, address, { sessionId: keptFor(address), link: readLink(location.hash) })
  // It is good again and again: not in the history, and not for whoever looks over a shoulder.
  if (location.hash) history.replaceState(undefined, '', location.pathname + location.search)
  addEventListener('offline', () => opened.get()?.networkGone())
  addEventListener('online', () => opened.get()?.connect())
}

function open(target: NonNullable<ReturnType<typeof readDesktop>>, address: string, from: From = {}) {
  opened.set(
    new DesktopSession(target, from, {
      onLeave: () => leaving.to(),
      onKept: (id) => keep(address, id),
    }),
  )
}

/** The same again, in its place. */
export function reopen(session: DesktopSession) {
  session.dispose()
  open(session.target, desktopAddress(session.target))
}
