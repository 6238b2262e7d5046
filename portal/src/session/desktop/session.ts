import { checkSession } from '../../api/client.ts'
import { ApiError } from '../../api/errors.ts'
import { createStore } from '../../app/store.ts'
import { type DesktopTarget, isWatching, type WatchTarget } from '../../domain/bastion.ts'
import * as api from '../api.ts'
import type { LinkState } from '../connection.ts'
import { heard, nothingYet, type Note, type Shown } from '../shown.ts'
import { Desk } from './desk.ts'
import { DesktopLink } from './link.ts'
import type { Scaling } from './pointer.ts'
import { longestSide, type Ready, type Size, subprotocol } from './protocol.ts'

/** What is different from other sessions. */
type DesktopShown = Shown & {
  ready?: Ready
  scaling: Scaling
  size?: Size
  /** Nobody has said with which password. */
  asks: boolean
  /** The machine copied this, and the browser keeps it from its clipboard until somebody asks for it. */
  copied?: string
  /** What was pasted is too much for a server. */
  isTooLong: boolean
}

const shortestSide = 200
/** A window that is still being dragged is not followed. */
const settledMs = 300
const toldMs = 4_000

const clamped = (side: number) => Math.min(longestSide, Math.max(shortestSide, Math.floor(side)))
/** As machines can have it: RDP wants an even width. */
export const offered = ({ width, height }: Size): Size => ({ width: clamped(width) & ~1, height: clamped(height) })

/** What a password may help with. */
export const wantsPassword = (error: unknown) =>
  error instanceof ApiError &&
  (error.code === 'DesktopCredentialsMissing' || error.code === 'DesktopCredentialsRefused')

/** What a session begins from: one that there is, or the link by which it may begin, which is nothing to keep. */
export type From = { sessionId?: string; link?: string }

/** A session on a machine's desktop, what it looks like, and what there is to say about it. */
export class DesktopSession {
  readonly target: DesktopTarget | WatchTarget
  readonly key = crypto.randomUUID()
  readonly desk: Desk
  readonly #link: DesktopLink
  readonly #place: api.Place
  readonly #lent: string | undefined
  readonly #shown = createStore<DesktopShown>({ ...nothingYet, scaling: 'fit', asks: false, isTooLong: false })
  /** Until it is sent, and no longer. */
  #password: string | undefined
  #settling: ReturnType<typeof setTimeout> | undefined
  #telling: ReturnType<typeof setTimeout> | undefined
  readonly #onKept: (sessionId: string | undefined) => void

  constructor(
    target: DesktopTarget | WatchTarget,
    { sessionId, link }: From,
    { onLeave, onKept }: { onLeave: () => void; onKept: (sessionId: string | undefined) => void },
  ) {
    this.target = target
    this.#lent = link
    this.#place = new api.Place(target)
    this.#onKept = onKept
    this.#link = new DesktopLink(
      {
        ticket: (known) => this.#ticket(known),
        socket: (ticket) => api.openSocket(this.#place.now, 'desktop', ticket, subprotocol),
      },
      {
        onState: (link) => this.#onState(link),
        onReady: (ready) => this.#onReady(ready),
        onSize: (size) => this.desk.resize(size),
        onFrame: (frame) => this.desk.draw(frame),
        onControl: (control) => {
          if (control.kind === 'pointer') void this.desk.point(control)
          if (control.kind === 'clipboard') void this.#copy(control.text)
        },
        onSaid: (said) => this.#set(heard(this.shown, said)),
      },
      sessionId,
    )
    this.desk = new Desk({
      onTell: (control) => {
        this.#link.tell(control)
        // Whoever types is not idle.
        if (this.shown.warning?.reason === 'Idle') this.#set({ warning: undefined })
      },
      onPaste: (text) => this.paste(text),
      onTouch: () => this.shown.copied !== undefined && void this.#copy(this.shown.copied),
      onLeave,
      onRoom: () => this.#match(),
      onSize: (size) => this.#set({ size }),
    })
    const isAsked = !isWatching(target) && !target.kept && sessionId === undefined
    this.#set({ asks: isAsked })
  }

  get shown() {
    return this.#shown.get()
  }

  readonly use = () => this.#shown.use()

  /** Goes on, or asks for the password with which it begins. */
  readonly connect = () => {
    const { link, asks } = this.shown
    const wasTyped = !isWatching(this.target) && !this.target.kept && this.#link.sessionId === undefined
    if (link.is === 'refused' && (wasTyped || wantsPassword(link.error))) this.#set({ asks: true })
    else if (!asks) this.#link.connect()
  }

  networkGone = () => this.#link.networkGone()

  /** Empty: the desktop is one that asks for none. */
  begin(password: string) {
    this.#password = password === '' ? undefined : password
    this.#set({ asks: false })
    this.#link.connect()
  }

  /** Whoever only watches leaves; a session of one's own ends. */
  readonly end = async () => {
    const { sessionId } = this.#link
    if (isWatching(this.target) || sessionId === undefined) this.#link.close()
    else await api.endSession(this.#place.now, sessionId)
  }

  dispose() {
    clearTimeout(this.#settling)
    clearTimeout(this.#telling)
    this.#link.close()
    this.desk.dispose()
  }

  readonly read = (note: Note) => this.#set({ notes: this.shown.notes.filter((other) => other !== note) })

  setScaling(scaling: Scaling) {
    this.desk.scaling = scaling
    this.#set({ scaling })
    this.#match()
    this.desk.focus()
  }

  ctrlAltDel() {
    this.#link.tell({ kind: 'ctrlAltDel' })
    this.desk.focus()
  }

  /** Into the machine's clipboard. */
  paste(text: string) {
    const isTooLong = !this.#link.tell({ kind: 'clipboard', text })
    this.#forAWhile({ isTooLong }, { isTooLong: false })
  }

  /** What the machine copied, now that somebody asks for it. */
  readonly takeCopied = () => {
    if (this.shown.copied !== undefined) void this.#copy(this.shown.copied)
    this.desk.focus()
  }

  async #ticket(known: string | undefined) {
    const place = await this.#place.find()
    if (isWatching(this.target)) return api.watch(place, this.target)
    if (known !== undefined) return api.resume(place, known)
    const { machine, protocol, port, account, domain, keyboard } = this.target
    const password = this.#password
    this.#password = undefined
    const whom = this.#lent ? { link: this.#lent } : { machine, protocol, port, account, domain }
    return api.beginDesktop(place, { ...whom, keyboard, password, ...offered(this.desk.room) })
  }

  #onReady(ready: Ready) {
    const { mode, paste } = ready
    const isFirst = this.shown.ready === undefined
    this.desk.isMuted = mode === 'readOnly'
    // There is one clipboard at the machine, and it is the owner's.
    this.desk.pastes = paste && mode === 'own'
    this.#set({ ready })
    if (isFirst && mode === 'own') this.setScaling('match')
    else this.#match()
    this.#onKept(this.#link.sessionId)
  }

  #onState(link: LinkState) {
    this.#set(link.is === 'ended' ? { link, warning: undefined, watchers: [], copied: undefined } : { link })
    if (link.is === 'refused' && wantsPassword(link.error)) this.#set({ asks: true })
    if (link.is !== 'ended') return
    this.desk.isMuted = true
    this.#onKept(undefined)
    // Whether it is the sign-in that is over, an ordinary request tells, and everything of the window hears it.
    if (link.reason === 'SignInEnded') void checkSession().catch(() => undefined)
  }

  /** The machine's screen follows the window, once that is still; one that cannot stays as it is. */
  #match() {
    clearTimeout(this.#settling)
    const { ready, scaling } = this.shown
    if (scaling !== 'match' || ready?.mode !== 'own') return
    this.#settling = setTimeout(() => {
      const wanted = offered(this.desk.room)
      const { size } = this.shown
      if (wanted.width !== size?.width || wanted.height !== size.height) this.#link.tell({ kind: 'size', ...wanted })
    }, settledMs)
  }

  /** Into the clipboard here. A browser may want somebody to have pressed something just now. */
  async #copy(text: string) {
    const { ready } = this.shown
    if (!ready?.copy || ready.mode !== 'own') return
    try {
      await navigator.clipboard.writeText(text)
      if (this.shown.copied === text) this.#set({ copied: undefined })
    } catch {
      this.#set({ copied: text })
    }
  }

  #forAWhile(change: Partial<DesktopShown>, back: Partial<DesktopShown>) {
    clearTimeout(this.#telling)
    this.#set(change)
    this.#telling = setTimeout(() => this.#set(back), toldMs)
  }

  #set(change: Partial<DesktopShown>) {
    this.#shown.set({ ...this.shown, ...change })
  }
}
