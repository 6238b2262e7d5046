/** What somebody pastes: it looked harmless where it was copied. */

/** So much at once is rarely meant. */
const longPaste = 16 * 1024

/** Without what a terminal would take for keys, and for the end of what is pasted: only tabs and ends of lines stay. */
export const cleanPaste = (text: string) => text.replace(/\r\n?/g, '\n').replace(/(?![\n\t])[\p{Cc}]/gu, '')

/** A program that knows what a paste is (bracketed paste) runs nothing of it by itself; any other runs each line. */
export const needsQuestion = (text: string, isBracketed: boolean) =>
  text.length > longPaste || (!isBracketed && text.includes('\n'))
