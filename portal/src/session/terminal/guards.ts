import type { IDisposable, Terminal } from '@xterm/xterm'
import { plainText, shortened } from '../../domain/plainText.ts'

/**
 * What a terminal does because a program on the machine says so, and not the person. Anything printed there may have
 * been written by somebody else, such as the name of a file or a line of a log.
 */

const titleLength = 60

/** The title of a program, good for a part of ours. */
export const safeTitle = (title: string) => shortened(plainText(title).trim(), titleLength)

/** The link as a browser would open it, so that what is asked about is what happens. None but http and https. */
export function safeLink(text: string) {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const isWeb = url?.protocol === 'https:' || url?.protocol === 'http:'
  // The name before an @ is a favourite disguise of the host behind it.
  return isWeb && url.username === '' && url.password === '' ? url.href : undefined
}

/**
 * Programs cannot reach the clipboard (OSC 52). Windows they cannot move, resize or ask about anyway, and links only
 * ask: that is how xterm.js is set up. `isMuted`: whether questions (what are you, where is the cursor, which colours)
 * stay without an answer, because it is somebody else's terminal that answers, or has answered already.
 */
export function installGuards({ parser }: Terminal, isMuted: () => boolean): IDisposable {
  const hooks = [
    parser.registerOscHandler(52, () => true),
    ...['', '>', '='].map((prefix) => parser.registerCsiHandler({ prefix, final: 'c' }, isMuted)),
    ...['', '?'].map((prefix) => parser.registerCsiHandler({ prefix, final: 'n' }, isMuted)),
    ...['', '?'].map((prefix) => parser.registerCsiHandler({ prefix, intermediates: '$', final: 'p' }, isMuted)),
    parser.registerDcsHandler({ intermediates: '$', final: 'q' }, isMuted),
    ...[4, 10, 11, 12].map((code) => parser.registerOscHandler(code, (data) => isMuted() && data.includes('?'))),
  ]
  return { dispose: () => hooks.forEach((hook) => hook.dispose()) }
}
