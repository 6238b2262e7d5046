import { checkSession } from '../../api/client.ts'
import { createStore } from '../../app/store.ts'
import { isWatching, type SessionTarget, type WatchTarget } from '../../domain/bastion.ts'
import * as api from '../api.ts'
import type { LinkState } from '../connection.ts'
import { heard, nothingYet, type Note, type Shown } from '../shown.ts'
import { TerminalLink } from './link.ts'
import { type Exit, type Ready, subprotocol } from './protocol.ts'
import { type Clipboard, Screen } from './screen.ts'

export type Question = { about: 'link'; address: string } | { about: 'paste'; text: string }
type TerminalShown = Shown & {
  ready?: Ready
  /** Of the program that runs; safe to show. */
  title: string
  exit?: Exit
  question?: Question
  isFinding: boolean
}

/** What a window keeps of a session over a reload: no secret, only what to ask for again. */
export type Kept = { target: SessionTarget | WatchTarget; sessionId?: string }
/** With the link by which it may begin, which is nothing to keep. */
export type Opened = Kept & { link?: string }

const deniedShownMs = 4_000

/** One tab: a session, what it looks like, and what there is to say about it. */
export class TerminalSession {
  readonly target: SessionTarget | WatchTarget
  readonly key = crypto.randomUUID()
  readonly screen: Screen
  readonly #link: TerminalLink
  readonly #shown = createStore<TerminalShown>({ ...nothingYet, title: '', isFinding: false })
  readonly #place: api.Place
  readonly #lent: string | undefined
  #denied: ReturnType<typeof setTimeout> | undefined
  readonly #onLeave: () => void
  readonly #onKept: () => void

  constructor({ target, sessionId, link }: Opened, { onLeave, onKept }: { onLeave: () => void; onKept: () => void }) {
    this.target = target
    this.#place = new api.Place(target)
    this.#lent = link
    this.#onLeave = onLeave
    this.#onKept = onKept
    this.screen = new Screen({
      onInput: (bytes) => this.#input(bytes),
      onSize: (columns, rows) => this.#link.resize(columns, rows),
      onTitle: (title) => this.#set({ title }),
      onLink: (address) => this.#set({ question: { about: 'link', address } }),
      onRiskyPaste: (text) => this.#set({ question: { about: 'paste', text } }),
      onDenied: (what) => this.#deny(what),
      onFind: () => this.#set({ isFinding: true }),
      onLeave: () => this.#onLeave(),
    })
    this.#link = new TerminalLink(
      {
        ticket: (known) => this.#ticket(known),
        socket: (ticket, have) =>
          api.openSocket(this.#place.now, 'terminal', ticket, subprotocol, { have: String(have) }),
      },
      {
        onState: (link) => this.#onState(link),
        onOutput: (bytes, upTo) => this.screen.write(bytes, upTo, () => this.#link.written(upTo)),
        onGap: () => this.screen.reset(),
        onReady: (ready) => this.#onReady(ready),
        onControl: (control) => {
          switch (control.kind) {
            case 'size':
              if (!this.screen.fits) this.screen.resize(control.columns, control.rows)
              break
            case 'exit':
              this.#set({ exit: control })
              break
            default:
              this.#set(heard(this.shown, control))
          }
        },
      },
      sessionId,
    )
  }

  get shown() {
    return this.#shown.get()
  }

  get kept(): Kept | undefined {
    const { is } = this.shown.link
    return is === 'ended' ? undefined : { target: this.target, sessionId: this.#link.sessionId }
  }

  get sessionId() {
    return this.#link.sessionId
  }

  /** Where its files are, once it is open. */
  get files() {
    const { sessionId } = this.#link
    return this.#place.now && sessionId ? { place: this.#place.now, sessionId } : undefined
  }

  readonly use = () => this.#shown.use()

  connect = () => this.#link.connect()
  networkGone = () => this.#link.networkGone()

  /** Whoever only watches leaves; a session of one's own ends. */
  async end() {
    const { sessionId } = this.#link
    if (isWatching(this.target) || sessionId === undefined) this.#link.close()
    else await api.endSession(this.#place.now, sessionId)
  }

  dispose() {
    clearTimeout(this.#denied)
    this.#link.close()
    this.screen.dispose()
  }

  answer(yes: boolean) {
    const { question } = this.shown
    this.#set({ question: undefined })
    if (yes && question?.about === 'paste') this.screen.paste(question.text)
    if (yes && question?.about === 'link') open(question.address, '_blank', 'noopener,noreferrer')
    this.screen.focus()
  }

  read(note: Note) {
    this.#set({ notes: this.shown.notes.filter((other) => other !== note) })
  }

  setFinding(isFinding: boolean) {
    this.#set({ isFinding })
    if (isFinding) return
    this.screen.stopFinding()
    this.screen.focus()
  }

  async #ticket(known: string | undefined) {
    const place = await this.#place.find()
    if (isWatching(this.target)) return api.watch(place, this.target)
    if (known !== undefined) return api.resume(place, known)
    const { columns, rows } = this.screen
    const { machine, account } = this.target
    const whom = this.#lent ? { link: this.#lent } : { resourceId: machine, account }
    return api.beginTerminal(place, { ...whom, columns, rows })
  }

  #input(bytes: Uint8Array<ArrayBuffer>) {
    if (this.shown.ready?.mode === 'readOnly') return
    this.#link.send(bytes)
    // Whoever types is not idle.
    if (this.shown.warning?.reason === 'Idle') this.#set({ warning: undefined })
  }

  #onReady(ready: Ready) {
    const { mode, copy, paste, upTo = 0 } = ready
    this.screen.fits = mode === 'own'
    // The terminal of whoever owns the session answers what programs ask.
    this.screen.mutedUpTo = mode === 'own' ? upTo : Number.POSITIVE_INFINITY
    this.screen.clipboard = { copy, paste: paste && mode !== 'readOnly' }
    this.#set({ ready })
    // Everybody else's terminal is as large as the owner's, which the server tells.
    if (mode === 'own') {
      this.screen.fit()
      this.#link.resize(this.screen.columns, this.screen.rows)
    }
    this.#onKept()
  }

  #onState(link: LinkState) {
    this.#set(link.is === 'ended' ? { link, warning: undefined, watchers: [], question: undefined } : { link })
    if (link.is !== 'ended') return
    this.#onKept()
    // Whether it is the sign-in that is over, an ordinary request tells, and everything of the window hears it.
    if (link.reason === 'SignInEnded') void checkSession().catch(() => undefined)
  }

  #deny(denied: keyof Clipboard) {
    clearTimeout(this.#denied)
    this.#set({ denied })
    this.#denied = setTimeout(() => this.#set({ denied: undefined }), deniedShownMs)
  }

  #set(change: Partial<TerminalShown>) {
    this.#shown.set({ ...this.shown, ...change })
  }
}
