import { afterEach, expect, test } from 'vitest'
import { ago, bytes, num, plural } from './format.ts'

const setLocale = async (locale: 'ja' | 'en') => {
  globalThis.document ??= { documentElement: {} } as Document
  ;(await import('./i18n.ts')).setLocale(locale)
}

afterEach(() => setLocale('en'))

const now = Date.parse('2026-11-24T12:00:00Z')

test.each([
  ['2026-11-24T11:59:18Z', '42 sec. ago'],
  ['2026-11-24T11:57:00Z', '3 min. ago'],
  ['2026-11-24T14:00:00Z', 'in 2 hr.'],
  ['2026-11-20T12:00:00Z', '4 days ago'],
])('%s reads %s', (iso, expected) => expect(ago(iso, now)).toBe(expected))

test('numbers follow the language', async () => {
  expect(num(18_234_411)).toBe('18,234,411')
  expect(bytes(0)).toBe('0 B')
  expect(bytes(1_610_612_736)).toBe('1.5 GiB')
  expect(plural(1, 'machine', 'machines')).toBe('1 machine')
  await setLocale('ja')
  expect(ago('2026-11-24T11:57:00Z', now)).toBe('3 分前')
})
