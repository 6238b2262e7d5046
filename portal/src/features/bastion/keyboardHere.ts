import type { DesktopKeyboard } from '../../domain/bastion.ts'

type WithLayout = Navigator & { keyboard?: { getLayoutMap?: () => Promise<ReadonlyMap<string, string>> } }

/** The keyboard of this computer, as far as a browser tells; else that of its language. */
export async function keyboardHere(): Promise<DesktopKeyboard> {
  const map = await (navigator as WithLayout).keyboard?.getLayoutMap?.().catch(() => undefined)
  // Right of P: @ on Japanese keyboards, [ on American ones.
  const right = map?.get('BracketLeft')
  const isJapanese = right === undefined ? navigator.language.startsWith('ja') : right === '@'
  return isJapanese ? 'japanese' : 'american'
}
