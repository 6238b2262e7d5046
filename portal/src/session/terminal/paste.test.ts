import { expect, test } from 'vitest'
import { cleanPaste, needsQuestion } from './paste.ts'

test.each([
  ['ls -l\r\nid\r', 'ls -l\nid\n'],
  ['a\tb', 'a\tb'],
  // Would end a bracketed paste, so that what follows counts as typed.
  ['x\x1b[201~rm -rf /\n', 'x[201~rm -rf /\n'],
  ['x\x9b201~y\x03\x00z\x7f', 'x201~yz'],
  ['日本語👍', '日本語👍'],
])('%j is pasted as %j', (text, pasted) => {
  expect(cleanPaste(text)).toBe(pasted)
})

test('lines that would run at once are asked about, and so is much', () => {
  expect(needsQuestion('id', false)).toBe(false)
  expect(needsQuestion('id\nls', false)).toBe(true)
  expect(needsQuestion('id\nls', true)).toBe(false)
  expect(needsQuestion('x'.repeat(20_000), true)).toBe(true)
})
