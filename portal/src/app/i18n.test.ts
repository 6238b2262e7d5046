import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { messages, setLocale } from './i18n.ts'

const root = join(import.meta.dirname, '..')
const sources = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(
  (file) => /\.tsx?$/.test(file) && !file.includes('.test.'),
)
const japanese = /[\u3040-\u30ff\u3400-\u9fff]/

/** The product's name, the language switch (each language names itself), what the palette answers to, list separators. */
const elsewhere = new Set([
  'app/nav.ts',
  'app/SideNav.tsx',
  'features/signin/Frame.tsx',
  'domain/rules.ts',
  'parts/ConnectPanel.tsx',
])

/** Texts that say "switch to the other language" are written in that other language. */
const pairs = (text: string) =>
  [...text.matchAll(/\ben:\s*(?:\([^)]*\)\s*=>\s*)?(['`])((?:(?!\1).)*)\1/g)].map((match) => match[2] ?? '')

test('no Japanese outside of messages()', () => {
  const strays = sources
    .filter((file) => !elsewhere.has(file) && japanese.test(readFileSync(join(root, file), 'utf8')))
    .filter((file) => !readFileSync(join(root, file), 'utf8').includes('messages({'))
  expect(strays).toEqual([])
})

test('English texts are English, apart from the switch to Japanese', () => {
  const strays = sources.flatMap((file) =>
    pairs(readFileSync(join(root, file), 'utf8')).filter((text) => japanese.test(text)),
  )
  expect(new Set(strays)).toEqual(new Set(['日本語に切り替え']))
})

test('every message has text in both languages, and each language gives its own', () => {
  const m = messages({
    title: { en: 'Machines', ja: 'マシン' },
    count: { en: (n: number) => `${n} machines`, ja: (n: number) => `${n} 台` },
  })
  globalThis.document ??= { documentElement: {} } as Document
  setLocale('ja')
  expect([m.title, m.count(3)]).toEqual(['マシン', '3 台'])
  setLocale('en')
  expect([m.title, m.count(3)]).toEqual(['Machines', '3 machines'])
})
