import type { ClientControl, Locks } from './protocol.ts'

/** What of a KeyboardEvent is used. */
export type Key = Pick<
  KeyboardEvent,
  'code' | 'key' | 'keyCode' | 'isComposing' | 'ctrlKey' | 'shiftKey' | 'altKey' | 'metaKey' | 'getModifierState'
>
/** What the browser is to do with a key: nothing, as it is the machine's; paste, and then say so; leave; or what it always does. */
export type Verdict = 'taken' | 'paste' | 'leave' | 'browser'

const lockKeys = new Set(['CapsLock', 'NumLock', 'ScrollLock'])
/** Keys of a touch screen have no place; these mean the same as the keys that have their names. */
const named = /^(Enter|Backspace|Tab|Escape|Delete|Home|End|PageUp|PageDown|Arrow(Up|Down|Left|Right)|F([1-9]|1[0-2]))$/

/** An input method takes it, and says later what it was. */
const isComposed = ({ isComposing, keyCode, key }: Key) => isComposing || keyCode === 229 || key === 'Process'

const isAltGr = (event: Key) => event.getModifierState('AltGraph')
const held = {
  Shift: (event: Key) => event.shiftKey,
  Control: (event: Key) => event.ctrlKey || isAltGr(event),
  Alt: (event: Key) => event.altKey || isAltGr(event),
  Meta: (event: Key) => event.metaKey,
}
const modifierOf = (code: string) =>
  /^(Shift|Control|Alt|Meta)(Left|Right)$/.exec(code)?.[1] as keyof typeof held | undefined

/**
 * What a keyboard does, told to a machine by the places of its keys: what stands on them is a matter of the machine's
 * layout. The machine is never left with a key that is not held here any more, nor with another Caps Lock than here.
 */
export class Keyboard {
  readonly #down = new Set<string>()
  #locks: Locks | undefined
  /** It is pressed at the machine once its clipboard has what is pasted. */
  #pasting: string | undefined
  readonly #tell: (control: ClientControl) => void
  readonly #hasNumLock: boolean
  /** Whether what is pasted here may go there. */
  pastes = false

  constructor(tell: (control: ClientControl) => void, hasNumLock = true) {
    this.#tell = tell
    this.#hasNumLock = hasNumLock
  }

  down(event: Key): Verdict {
    const { key, ctrlKey, shiftKey, altKey, metaKey } = event
    if (isComposed(event)) return 'browser'
    const code = event.code || (named.test(key) ? key : '')
    if (code === '') return 'browser'
    this.pasted()
    this.sync(event, code)
    if (code === 'F6' && ctrlKey && !shiftKey && !altKey && !metaKey) return 'leave'
    if (lockKeys.has(code) && key === code) return 'taken'
    // Windows says that AltGr is both; the machine's layout knows what it means.
    if (code === 'AltRight' && key === 'AltGraph') this.#release('ControlLeft')
    const isPaste = (code === 'KeyV' && ctrlKey !== metaKey && !altKey) || (code === 'Insert' && shiftKey && !ctrlKey)
    if (this.pastes && isPaste) {
      this.#pasting = code
      return 'paste'
    }
    this.#press(code)
    return 'taken'
  }

  up(event: Key): Verdict {
    if (isComposed(event) && !this.#down.has(event.code)) return 'browser'
    const code = event.code || event.key
    this.pasted()
    this.#release(code)
    this.sync(event, code)
    // macOS tells nothing of keys that are let go while Command is held.
    if (modifierOf(code) === 'Meta') {
      for (const other of this.#down) if (!modifierOf(other)) this.#release(other)
    }
    return 'taken'
  }

  /** What was pasted is at the machine, or nothing was. */
  pasted() {
    const code = this.#pasting
    this.#pasting = undefined
    if (code !== undefined) this.#press(code)
  }

  /** What was let go, or locked, while nobody looked. `code`: the key that it is about. */
  sync(event: Pick<Key, 'getModifierState' | 'shiftKey' | 'ctrlKey' | 'altKey' | 'metaKey'>, code?: string) {
    for (const other of this.#down) {
      const modifier = modifierOf(other)
      if (modifier && other !== code && !held[modifier](event as Key)) this.#release(other)
    }
    const locks = {
      caps: event.getModifierState('CapsLock'),
      num: !this.#hasNumLock || event.getModifierState('NumLock'),
      scroll: event.getModifierState('ScrollLock'),
    }
    const { caps, num, scroll } = this.#locks ?? {}
    if (caps === locks.caps && num === locks.num && scroll === locks.scroll) return
    this.#locks = locks
    this.#tell({ kind: 'locks', ...locks })
  }

  /** The keys are somebody else's from now on. */
  blur() {
    this.#down.clear()
    this.#pasting = undefined
    this.#locks = undefined
    this.#tell({ kind: 'releaseAll' })
  }

  #press(code: string) {
    this.#down.add(code)
    this.#tell({ kind: 'key', code, down: true })
  }

  #release(code: string) {
    if (this.#down.delete(code)) this.#tell({ kind: 'key', code, down: false })
  }
}
