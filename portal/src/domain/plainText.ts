/** Text that comes from machines and is shown as a part of our own words: it must not be able to look like them. */

/** Controls, and what turns the direction of writing around: C0, C1, line separators, bidi marks, the byte order mark. */
const deceiving = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/gu

/** On one line, without controls; what is left out shows as a replacement character. */
export const plainText = (text: string) => text.replace(deceiving, '\ufffd')

export function shortened(text: string, longest: number) {
  const chars = [...text]
  return chars.length > longest ? `${chars.slice(0, longest - 1).join('')}…` : text
}
