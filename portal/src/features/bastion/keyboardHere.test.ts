import { afterEach, expect, test, vi } from 'vitest'
import { keyboardHere } from './keyboardHere.ts'

afterEach(() => vi.unstubAllGlobals())

const layout = (right: string) => ({ getLayoutMap: async () => new Map([['BracketLeft', right]]) })

test.each([
  ['an American keyboard of a Japanese browser', { language: 'ja-JP', keyboard: layout('[') }, 'american'],
  ['a Japanese keyboard of an English browser', { language: 'en-US', keyboard: layout('@') }, 'japanese'],
  ['a browser that only tells its language', { language: 'ja' }, 'japanese'],
  [
    'a browser that tells nothing about keys',
    { language: 'en-GB', keyboard: { getLayoutMap: () => Promise.reject(new Error('not allowed')) } },
    'american',
  ],
])('%s', async (_, navigator, expected) => {
  vi.stubGlobal('navigator', navigator)
  expect(await keyboardHere()).toBe(expected)
})
