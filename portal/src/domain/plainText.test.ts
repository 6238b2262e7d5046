import { expect, test } from 'vitest'
import { plainText, shortened } from './plainText.ts'

test.each([
  ['日本語.txt', '日本語.txt'],
  ['a\nb', 'a\ufffdb'],
  ['\x1b]0;x\x07', '\ufffd]0;x\ufffd'],
  ['invoice\u202excod.exe', 'invoice\ufffdxcod.exe'],
  ['\u2066x\u2069\u200f', '\ufffdx\ufffd\ufffd'],
  // A family is joined by what is no mark of direction.
  ['👨‍👩‍👧', '👨‍👩‍👧'],
])('%j is shown as %j', (text, shown) => {
  expect(plainText(text)).toBe(shown)
})

test('a long text is cut between characters', () => {
  expect(shortened('👍👍👍', 3)).toBe('👍👍👍')
  expect(shortened('👍👍👍👍', 3)).toBe('👍👍…')
})
