import type { LinkState } from './connection.ts'
import type { Said, Terms, Watcher } from './wire.ts'

export type Note = { id: number; text: string; from: string }
type Warning = { reason: 'Idle' | 'TimeOver'; endsAtMs: number }

/** What there is to say about a session, whatever it shows. */
export type Shown = {
  link: LinkState
  ready?: Terms
  watchers: readonly Watcher[]
  notes: readonly Note[]
  warning?: Warning
  /** What was just tried, and the policy does not allow. */
  denied?: 'copy' | 'paste'
}

/** What a window shows of a session, and what may be done about it there. */
export type Followed = {
  use: () => Shown
  connect: () => void
  read: (note: Note) => void
  end: () => Promise<void>
}

export const nothingYet = { link: { is: 'connecting' }, watchers: [], notes: [] } satisfies Shown

/** What is different after this was said. */
export function heard({ notes }: Shown, said: Said): Partial<Pick<Shown, 'watchers' | 'notes' | 'warning'>> {
  switch (said.kind) {
    case 'watchers':
      return { watchers: said.people }
    case 'message':
      return { notes: [...notes, { id: (notes.at(-1)?.id ?? 0) + 1, from: said.from, text: said.text }] }
    case 'warning':
      return { warning: { reason: said.reason, endsAtMs: Date.now() + said.seconds * 1_000 } }
  }
}
