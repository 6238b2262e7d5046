import { cursorOf } from './cursor.ts'
import { Keyboard } from './keyboard.ts'
import { Picture } from './picture.ts'
import { buttonsOf, pixelAt, scaleOf, type Scaling, Wheel } from './pointer.ts'
import type { ClientControl, PointerShape, Size, Tiles } from './protocol.ts'

export type DeskEars = {
  onTell: (control: ClientControl) => void
  /** Text that is to be in the machine's clipboard. */
  onPaste: (text: string) => void
  /** Somebody pressed something: a browser allows more to whoever has just done so. */
  onTouch: () => void
  /** The key that leads out, since the machine takes every other one. */
  onLeave: () => void
  /** There is another room for the picture. */
  onRoom: () => void
  /** The picture has another size. */
  onSize: (size: Size) => void
}

const usualRoom = { width: 1280, height: 800 }
const isMac = /^(Mac|iP)/.test(navigator.platform)

/**
 * A desktop in the browser: what is drawn, what is typed and pointed at. It knows nothing of connections. What is typed
 * goes through a text field that nobody sees, since only there an input method composes.
 */
export class Desk {
  readonly host = document.createElement('div')
  #isMuted = true
  #scaling: Scaling = 'fit'
  #size: Size | undefined
  #hotspot: { x: number; y: number } | undefined
  #cursors = 0
  #move: { x: number; y: number; buttons: number } | undefined
  #moving: number | undefined
  readonly #stage = document.createElement('div')
  readonly #cursor = document.createElement('canvas')
  readonly #field = document.createElement('textarea')
  readonly #wheel = new Wheel()
  readonly #keyboard: Keyboard
  readonly #picture: Picture
  readonly #ears: DeskEars
  readonly #watch = new ResizeObserver(() => {
    this.#layOut()
    this.#ears.onRoom()
  })

  constructor(ears: DeskEars) {
    this.#ears = ears
    this.#keyboard = new Keyboard((control) => this.#tell(control), !isMac)
    this.#picture = new Picture((size) => {
      this.#size = size
      this.#layOut()
      ears.onSize(size)
    })
    this.host.className = 'grid size-full place-items-center overflow-auto bg-sunken'
    this.#stage.className = 'relative'
    this.#picture.canvas.className = 'block size-full touch-none select-none'
    this.#cursor.className = 'pointer-events-none absolute top-0 left-0 origin-top-left'
    this.#cursor.hidden = true
    this.#field.className = 'pointer-events-none absolute top-0 left-0 size-px resize-none opacity-0'
    this.#field.autocomplete = 'off'
    this.#field.autocapitalize = 'off'
    this.#field.spellcheck = false
    this.#field.hidden = true
    this.#stage.append(this.#picture.canvas, this.#cursor, this.#field)
    this.host.append(this.#stage)
    this.#listenToKeys()
    this.#listenToPointer()
  }

  /** `picture`, `keys`: what somebody hears of the picture, and of what takes the keys. */
  describe(picture: string, keys: string) {
    this.#picture.canvas.setAttribute('role', 'img')
    this.#picture.canvas.setAttribute('aria-label', picture)
    this.#field.setAttribute('aria-label', keys)
  }

  /** Puts it where it is seen from now on. */
  mount(parent: HTMLElement) {
    parent.append(this.host)
    this.#watch.observe(this.host)
  }

  unmount() {
    this.#watch.disconnect()
    this.host.remove()
  }

  dispose() {
    this.unmount()
    this.#picture.forget()
    if (this.#moving !== undefined) cancelAnimationFrame(this.#moving)
  }

  focus() {
    this.#field.focus({ preventScroll: true })
  }

  /** How large a picture would fill the room. */
  get room(): Size {
    const { clientWidth: width, clientHeight: height } = this.host
    return width > 0 && height > 0 ? { width, height } : usualRoom
  }

  /** Whether what is typed and pointed at goes nowhere. */
  get isMuted() {
    return this.#isMuted
  }

  set isMuted(isMuted: boolean) {
    this.#isMuted = isMuted
    // Whoever only looks is not to be held where keys do nothing.
    this.#field.hidden = isMuted
  }

  set scaling(scaling: Scaling) {
    this.#scaling = scaling
    this.#layOut()
  }

  set pastes(pastes: boolean) {
    this.#keyboard.pastes = pastes
  }

  resize(size: Size) {
    this.#picture.resize(size)
  }

  /** Frames that still wait are of no interest any more. */
  forget() {
    this.#picture.forget()
  }

  draw(frame: Tiles) {
    return this.#picture.draw(frame)
  }

  /** The machine's pointer. It is drawn, since the policy of the page lets no picture be a pointer of the browser. */
  async point(pointer: PointerShape) {
    this.#cursors += 1
    const nth = this.#cursors
    const picture = pointer.shape === 'image' ? await cursorOf(pointer) : undefined
    if (nth === this.#cursors) {
      this.#hotspot = picture && pointer.shape === 'image' ? { x: pointer.x, y: pointer.y } : undefined
      this.#cursor.hidden = true
      this.#picture.canvas.style.cursor = picture || pointer.shape === 'hidden' ? 'none' : 'default'
      if (picture) {
        this.#cursor.width = picture.width
        this.#cursor.height = picture.height
        this.#cursor.getContext('2d')?.drawImage(picture, 0, 0)
        if (this.#move) this.#follow(this.#move)
      }
    }
    picture?.close()
  }

  #tell(control: ClientControl) {
    if (!this.#isMuted) this.#ears.onTell(control)
  }

  #layOut() {
    if (!this.#size) return
    const scale = scaleOf(this.#scaling, this.#size, this.room)
    this.#stage.style.width = `${Math.round(this.#size.width * scale)}px`
    this.#stage.style.height = `${Math.round(this.#size.height * scale)}px`
  }

  #listenToKeys() {
    const field = this.#field
    const take = (event: KeyboardEvent, verdict: ReturnType<Keyboard['down']>) => {
      if (verdict === 'leave') this.#ears.onLeave()
      if (verdict !== 'taken' && verdict !== 'leave') return
      event.preventDefault()
      event.stopPropagation()
    }
    field.addEventListener('keydown', (event) => {
      this.#ears.onTouch()
      take(event, this.#keyboard.down(event))
    })
    field.addEventListener('keyup', (event) => take(event, this.#keyboard.up(event)))
    field.addEventListener('blur', () => this.#keyboard.blur())
    field.addEventListener('compositionend', ({ data }) => this.#typed(data))
    field.addEventListener('input', (event) => {
      if (event instanceof InputEvent && !event.isComposing && event.inputType === 'insertText') this.#typed(event.data)
    })
    field.addEventListener('paste', (event) => {
      event.preventDefault()
      const text = event.clipboardData?.getData('text/plain')
      if (text && this.#keyboard.pastes) this.#ears.onPaste(text)
      this.#keyboard.pasted()
    })
    for (const type of ['copy', 'cut', 'drop'] as const) {
      field.addEventListener(type, (event) => event.preventDefault())
    }
  }

  #typed(text: string | null) {
    this.#field.value = ''
    if (text) this.#tell({ kind: 'text', text })
  }

  #listenToPointer() {
    const { canvas } = this.#picture
    const at = (event: MouseEvent) => pixelAt(this.#size ?? usualRoom, canvas.getBoundingClientRect(), event)
    const say = (event: PointerEvent) => {
      this.#move = { ...at(event), buttons: buttonsOf(event.buttons) }
      this.#follow(this.#move)
      this.#flush()
    }
    canvas.addEventListener('pointerdown', (event) => {
      event.preventDefault()
      this.#ears.onTouch()
      canvas.setPointerCapture(event.pointerId)
      this.focus()
      this.#keyboard.sync(event)
      say(event)
      // Where an input method shows what it composes.
      const { left, top } = this.#stage.getBoundingClientRect()
      this.#field.style.translate = `${event.clientX - left}px ${event.clientY - top}px`
    })
    canvas.addEventListener('pointerup', say)
    canvas.addEventListener('pointercancel', (event) => {
      this.#move = { ...at(event), buttons: 0 }
      this.#flush()
    })
    canvas.addEventListener('pointermove', (event) => {
      const buttons = buttonsOf(event.buttons)
      const isPress = buttons !== this.#move?.buttons
      this.#move = { ...at(event), buttons }
      this.#follow(this.#move)
      // A second button that joins is no press of its own to a browser.
      if (isPress) return this.#flush()
      this.#moving ??= requestAnimationFrame(() => this.#flush())
    })
    canvas.addEventListener('pointerleave', () => (this.#cursor.hidden = true))
    canvas.addEventListener('contextmenu', (event) => event.preventDefault())
    canvas.addEventListener(
      'wheel',
      (event) => {
        if (this.#isMuted) return
        event.preventDefault()
        const turned = this.#wheel.turn(event)
        if (turned) this.#tell({ kind: 'wheel', ...at(event), ...turned })
      },
      { passive: false },
    )
  }

  #flush() {
    if (this.#moving !== undefined) cancelAnimationFrame(this.#moving)
    this.#moving = undefined
    if (this.#move) this.#tell({ kind: 'pointer', ...this.#move })
  }

  #follow({ x, y }: { x: number; y: number }) {
    if (!this.#hotspot || !this.#size) return
    const scale = this.#stage.clientWidth / this.#size.width
    this.#cursor.hidden = false
    this.#cursor.style.transform = `translate(${(x - this.#hotspot.x) * scale}px, ${(y - this.#hotspot.y) * scale}px) scale(${scale})`
  }
}
