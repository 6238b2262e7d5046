import { fromBase64 } from '../desktop/base64.ts'
import { Desk } from '../desktop/desk.ts'
import { readTiles } from '../desktop/protocol.ts'
import { lasting, parseSize, type ScreenSize } from './frames.ts'
import { m } from './messages.ts'
import type { MakeStage } from './stage.ts'

const noop = () => undefined

/** Pictures are many times what terminals write: ten seconds of them at once. */
export const desktopStage: MakeStage = (begun, name) => {
  const desk = new Desk({
    onTell: noop,
    onPaste: noop,
    onTouch: noop,
    onLeave: noop,
    onRoom: noop,
    onSize: noop,
  })
  const resize = ({ columns, rows }: ScreenSize) => desk.resize({ width: columns, height: rows })
  desk.describe(m.picture(name), '')
  resize(begun)
  return {
    pieceMs: 10_000,
    mount: async (parent) => desk.mount(parent),
    reset: () => {
      desk.forget()
      resize(begun)
    },
    dispose: () => desk.dispose(),
    show: (frames) => {
      for (const { kind, text } of lasting(frames)) {
        const size = kind === 'g' ? parseSize(text) : undefined
        if (size) resize(size)
        const bytes = kind === 't' || kind === 'T' ? fromBase64(text) : undefined
        const tiles = bytes && readTiles(bytes)
        // One that does not fit leaves the picture as it was; the next key frame sets it right.
        if (tiles) void desk.draw(tiles)
      }
    },
  }
}
