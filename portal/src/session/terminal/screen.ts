import { FitAddon } from '@xterm/addon-fit'
import type { SearchAddon } from '@xterm/addon-search'
import { Unicode11Addon } from '@xterm/addon-unicode11'
import { Terminal } from '@xterm/xterm'
import { getTheme } from '../../app/theme.ts'
import { installGuards, safeLink, safeTitle } from './guards.ts'
import { cleanPaste, needsQuestion } from './paste.ts'
import { getPrefs, onPrefs } from './prefs.ts'
import { latin1, utf8 } from './protocol.ts'
import { schemeOf } from './schemes.ts'

export type Clipboard = { copy: boolean; paste: boolean }
export type ScreenEars = {
  onInput: (bytes: Uint8Array<ArrayBuffer>) => void
  onSize: (columns: number, rows: number) => void
  /** Already safe to show. */
  onTitle: (title: string) => void
  /** A link of the machine was clicked; the address is http or https. */
  onLink: (address: string) => void
  /** Text that would run as it is pasted. */
  onRiskyPaste: (text: string) => void
  /** The policy said no. */
  onDenied: (what: keyof Clipboard) => void
  /** Keys of ours: find in the output, and leave the terminal, which takes every other key. */
  onFind: () => void
  onLeave: () => void
}

const font = '"JetBrains Mono Variable"'
/** In the order of index.css; a terminal wants the list itself. */
const fontFamily = `${font}, ui-monospace, "SFMono-Regular", "Cascadia Mono", "Noto Sans Mono CJK JP", "BIZ UDGothic", monospace`
const scrollback = 10_000

/**
 * A terminal in the browser: what is drawn, what is typed and the rules in between. It knows nothing of connections, and
 * it keeps its contents while it is moved about in the document.
 */
export class Screen {
  readonly host = document.createElement('div')
  /** Who decides how large it is. */
  fits = true
  clipboard: Clipboard = { copy: false, paste: false }
  /** Output up to here has been answered by an earlier terminal; `Infinity`: another one answers all of it. */
  mutedUpTo = 0
  #parsed = 0
  #isOpen = false
  readonly #terminal: Terminal
  readonly #fit = new FitAddon()
  #search: Promise<SearchAddon> | undefined
  readonly #ears: ScreenEars
  readonly #watch = new ResizeObserver(() => this.fit())
  readonly #stop: () => void

  constructor(ears: ScreenEars) {
    this.#ears = ears
    this.#terminal = new Terminal({
      allowProposedApi: true,
      cursorBlink: !matchMedia('(prefers-reduced-motion: reduce)').matches,
      fontFamily,
      linkHandler: {
        activate: (_, text) => {
          const address = safeLink(text)
          if (address) ears.onLink(address)
        },
      },
      // What a machine prints wrongly is not a matter for the console.
      logLevel: 'off',
      scrollback,
    })
    this.#terminal.loadAddon(this.#fit)
    this.#terminal.loadAddon(new Unicode11Addon())
    this.#terminal.unicode.activeVersion = '11'
    installGuards(this.#terminal, () => this.#parsed < this.mutedUpTo)
    this.#terminal.onData((text) => ears.onInput(utf8(text)))
    this.#terminal.onBinary((text) => ears.onInput(latin1(text)))
    this.#terminal.onResize(({ cols, rows }) => this.fits && ears.onSize(cols, rows))
    this.#terminal.onTitleChange((title) => ears.onTitle(safeTitle(title)))
    this.#terminal.attachCustomKeyEventHandler((event) => this.#key(event))
    this.host.className = 'size-full'
    this.#keepClipboard()
    this.#restyle()
    this.#stop = onPrefs(() => this.#restyle())
  }

  get columns() {
    return this.#terminal.cols
  }

  get rows() {
    return this.#terminal.rows
  }

  /** Puts it where it is seen from now on. */
  async mount(parent: HTMLElement) {
    parent.append(this.host)
    // A cell is measured once; it must not be one of the font that stands in.
    if (!this.#isOpen) await document.fonts.load(`${getPrefs().fontSize}px ${font}`).catch(() => undefined)
    if (!this.host.isConnected) return
    if (!this.#isOpen) this.#terminal.open(this.host)
    this.#isOpen = true
    this.#watch.observe(this.host)
    this.fit()
  }

  unmount() {
    this.#watch.disconnect()
    this.host.remove()
  }

  dispose() {
    this.unmount()
    this.#stop()
    this.#terminal.dispose()
  }

  fit() {
    // A tab that is not in sight has no size.
    if (this.#isOpen && this.fits && this.host.clientWidth > 0) this.#fit.fit()
  }

  resize(columns: number, rows: number) {
    this.#terminal.resize(columns, rows)
  }

  /** `onWritten`: it is on the screen. */
  write(bytes: Uint8Array, upTo: number, onWritten: () => void): void {
    const start = upTo - bytes.length
    const border = Math.min(this.mutedUpTo, upTo)
    if (border > start && border < upTo) {
      this.#terminal.write(bytes.subarray(0, border - start), () => (this.#parsed = border))
      return this.write(bytes.subarray(border - start), upTo, onWritten)
    }
    this.#terminal.write(bytes, () => {
      this.#parsed = upTo
      onWritten()
    })
  }

  /** Everything goes, modes and scrollback, too. */
  reset() {
    // In turn with what is still to be written.
    this.#terminal.write('', () => this.#terminal.reset())
  }

  focus() {
    this.#terminal.focus()
  }

  paste(text: string) {
    this.#terminal.paste(text)
  }

  /** Whether there is any. */
  async find(text: string, direction: 'next' | 'previous') {
    this.#search ??= import('@xterm/addon-search').then(({ SearchAddon }) => {
      const addon = new SearchAddon()
      this.#terminal.loadAddon(addon)
      return addon
    })
    const search = await this.#search
    const options = { decorations: this.#marks() }
    return direction === 'next' ? search.findNext(text, options) : search.findPrevious(text, options)
  }

  stopFinding() {
    void this.#search?.then((search) => search.clearDecorations())
    this.#terminal.clearSelection()
  }

  /** What is on the screen and above it, without what fills the lines. */
  text() {
    const { active } = this.#terminal.buffer
    const lines = Array.from({ length: active.length }, (_, at) => active.getLine(at)?.translateToString(true) ?? '')
    return lines.join('\n').trimEnd()
  }

  #marks() {
    const { foreground = '', cursor = '' } = this.#terminal.options.theme ?? {}
    return { matchOverviewRuler: foreground, activeMatchColorOverviewRuler: cursor, matchBorder: cursor }
  }

  #restyle() {
    const { scheme, fontSize, screenReader } = getPrefs()
    const { colours, contrast } = schemeOf(scheme, getTheme())
    this.host.style.backgroundColor = colours.background ?? ''
    this.#terminal.options = {
      fontSize,
      minimumContrastRatio: contrast,
      screenReaderMode: screenReader,
      theme: colours,
    }
    this.fit()
  }

  /** `false`: the terminal does nothing with it. */
  #key(event: KeyboardEvent) {
    if (event.type !== 'keydown' || event.isComposing) return true
    const ours = () => {
      event.preventDefault()
      return false
    }
    const { code, ctrlKey, shiftKey, altKey, metaKey } = event
    if (!ctrlKey || altKey || metaKey) return true
    if (!shiftKey && code === 'F6') return (this.#ears.onLeave(), ours())
    if (shiftKey && code === 'KeyF') return (this.#ears.onFind(), ours())
    if ((shiftKey && code === 'KeyC') || (!shiftKey && code === 'Insert')) return (this.#copy(), ours())
    // The browser pastes, and its event comes below.
    return !(shiftKey && code === 'KeyV')
  }

  #copy() {
    if (!this.clipboard.copy) return this.#ears.onDenied('copy')
    const text = this.#terminal.getSelection()
    if (text) void navigator.clipboard.writeText(text).catch(() => undefined)
  }

  #keepClipboard() {
    const stop = (event: Event) => {
      event.preventDefault()
      event.stopImmediatePropagation()
    }
    const on = <K extends keyof HTMLElementEventMap>(type: K, listener: (event: HTMLElementEventMap[K]) => void) =>
      this.host.addEventListener(type, listener, { capture: true })

    on('paste', (event) => {
      stop(event)
      if (!this.clipboard.paste) return this.#ears.onDenied('paste')
      const text = cleanPaste(event.clipboardData?.getData('text/plain') ?? '')
      if (text === '') return
      if (needsQuestion(text, this.#terminal.modes.bracketedPasteMode)) this.#ears.onRiskyPaste(text)
      else this.paste(text)
    })
    // What is dropped is a paste that nobody sees coming.
    on('drop', stop)
    on('beforeinput', (event) => {
      if (/^insertFrom(Paste|Drop|Yank)/.test(event.inputType)) stop(event)
    })
    for (const type of ['copy', 'cut'] as const) {
      on(type, (event) => {
        if (this.clipboard.copy) return
        stop(event)
        this.#ears.onDenied('copy')
      })
    }
    // Whatever is selected is in a clipboard already where selecting is copying (X11), and so is what the menu of the
    // right button finds. A single click may be meant for a link.
    on('mousedown', (event) => {
      const isForProgram = this.#terminal.modes.mouseTrackingMode !== 'none' && !event.shiftKey && !event.altKey
      if (this.clipboard.copy || isForProgram) return
      if (event.shiftKey || event.detail > 1) {
        stop(event)
        return this.focus()
      }
      const release = new AbortController()
      const { signal } = release
      addEventListener('mousemove', (move) => move.stopImmediatePropagation(), { capture: true, signal })
      addEventListener('mouseup', () => release.abort(), { capture: true, signal })
    })
    on('contextmenu', (event) => {
      if (!this.clipboard.copy) stop(event)
    })
  }
}
