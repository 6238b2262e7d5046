import { utf8 } from '../terminal/protocol.ts'
import { Screen } from '../terminal/screen.ts'
import { parseSize } from './frames.ts'
import type { MakeStage } from './stage.ts'

const noop = () => undefined

export const terminalStage: MakeStage = ({ columns, rows }) => {
  const screen = new Screen({
    onInput: noop,
    onSize: noop,
    onTitle: noop,
    onLink: noop,
    onRiskyPaste: noop,
    onDenied: noop,
    onFind: noop,
    onLeave: noop,
  })
  screen.fits = false
  screen.clipboard = { copy: true, paste: false }
  screen.mutedUpTo = Number.POSITIVE_INFINITY
  screen.resize(columns, rows)
  return {
    pieceMs: 60_000,
    mount: (parent) => screen.mount(parent),
    reset: () => screen.reset(),
    dispose: () => screen.dispose(),
    show: (frames) => {
      for (const { kind, text } of frames) {
        const size = kind === 'r' ? parseSize(text) : undefined
        if (size) screen.resize(size.columns, size.rows)
        if (kind !== 'o' && kind !== 'k') continue
        const bytes = utf8(text)
        screen.write(bytes, bytes.length, noop)
      }
    },
  }
}
