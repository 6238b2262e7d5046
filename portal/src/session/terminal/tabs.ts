import { createStore } from '../../app/store.ts'
import {
  isWatching,
  readLink,
  readTarget,
  type SessionTarget,
  terminalAddress,
  type WatchTarget,
} from '../../domain/bastion.ts'
import { type Kept, type Opened, TerminalSession } from './session.ts'

const key = 'sekisho.terminals'

type Tabs = { sessions: readonly TerminalSession[]; current?: string }

const tabs = createStore<Tabs>({ sessions: [] })
/** Keys that lead out of a terminal go to the tabs above it. */
const leaving = { to: () => undefined as void }

export const useTabs = tabs.use
export const onLeaveTerminal = (to: () => void) => (leaving.to = to)

/** What a reload finds again; another window has its own. */
export function readKept(text: string | null): Kept[] {
  try {
    const value: unknown = JSON.parse(text ?? '[]')
    if (!Array.isArray(value)) return []
    return value.flatMap((item: { target?: Record<string, string>; sessionId?: unknown } | null) => {
      const target = item?.target && readTarget(new URLSearchParams(item.target).toString())
      const sessionId = typeof item?.sessionId === 'string' ? item.sessionId : undefined
      return target ? [{ target, sessionId }] : []
    })
  } catch {
    return []
  }
}

const same = (a: SessionTarget | WatchTarget, b: SessionTarget | WatchTarget) =>
  terminalAddress(a).toLowerCase() === terminalAddress(b).toLowerCase()

function keep() {
  const kept = tabs.get().sessions.flatMap((session) => session.kept ?? [])
  try {
    sessionStorage.setItem(key, JSON.stringify(kept))
  } catch {
    // Without storage, a reload begins anew.
  }
}

function open(kept: Opened) {
  const session = new TerminalSession(kept, { onLeave: () => leaving.to(), onKept: keep })
  tabs.set({ sessions: [...tabs.get().sessions, session], current: session.key })
  return session
}

export const openTab = (target: SessionTarget | WatchTarget) => open({ target })

export const selectTab = (current: string) => tabs.set({ ...tabs.get(), current })

export function closeTab(session: TerminalSession) {
  const { sessions, current } = tabs.get()
  const at = sessions.indexOf(session)
  const left = sessions.filter((other) => other !== session)
  session.dispose()
  tabs.set({
    sessions: left,
    current: current === session.key ? (left[Math.min(at, left.length - 1)]?.key ?? undefined) : current,
  })
  keep()
}

/** The same again, in its place. */
export function reopen(session: TerminalSession) {
  const again = new TerminalSession({ target: session.target }, { onLeave: () => leaving.to(), onKept: keep })
  const { sessions } = tabs.get()
  session.dispose()
  tabs.set({ sessions: sessions.map((other) => (other === session ? again : other)), current: again.key })
}

/** What the window had before, and what its address asks for unless that is there already. */
export function restore() {
  let kept: Kept[] = []
  try {
    kept = readKept(sessionStorage.getItem(key))
  } catch {
    // Without storage, there is nothing to find.
  }
  const asked = readTarget(location.search)
  for (const item of kept) open(item)
  const there = asked && tabs.get().sessions.find(({ target }) => same(target, asked))
  if (there) selectTab(there.key)
  else if (asked) open({ target: asked, link: readLink(location.hash) })
  // It is good again and again: not in the history, and not for whoever looks over a shoulder.
  if (location.hash) history.replaceState(undefined, '', location.pathname + location.search)
  addEventListener('offline', () => tabs.get().sessions.forEach((session) => session.networkGone()))
  addEventListener('online', () => tabs.get().sessions.forEach((session) => session.connect()))
  return asked !== undefined || kept.length > 0
}

export const ownTarget = ({ target }: TerminalSession) => (isWatching(target) ? undefined : target)
