import { describe, expect, test } from 'vitest'
import { crumbs, isName, join, parentOf, savedName } from './paths.ts'

describe('paths', () => {
  test('are joined and taken apart', () => {
    expect(join('/', 'etc')).toBe('/etc')
    expect(join('/home/alice', 'a b')).toBe('/home/alice/a b')
    expect(parentOf('/home/alice')).toBe('/home')
    expect(parentOf('/home')).toBe('/')
    expect(parentOf('/')).toBe('/')
    expect(crumbs('/home/alice').map(({ path }) => path)).toEqual(['/', '/home', '/home/alice'])
  })
})

test.each([
  ['a', true],
  ['日本語.txt', true],
  ['..', false],
  ['.', false],
  ['', false],
  ['a/b', false],
  ['a\0', false],
  ['あ'.repeat(86), false],
])('whether %j can be a name: %s', (name, is) => {
  expect(isName(name)).toBe(is)
})

test.each([
  ['report.pdf', 'report.pdf'],
  ['../../x', '.._.._x'],
  ['inv\u202efdp.exe', 'inv_fdp.exe'],
  ['a\nb', 'a_b'],
])('%j is saved as %j', (name, saved) => {
  expect(savedName(name)).toBe(saved)
})
