import { describe, expect, test } from 'vitest'
import { type Key, Keyboard } from './keyboard.ts'
import type { ClientControl } from './protocol.ts'

type Held = Partial<Record<'CapsLock' | 'NumLock' | 'ScrollLock' | 'AltGraph', boolean>>

/** `locks` of the first key are left out of what was told: each test would begin with them. */
function keyboard({ hasNumLock = true } = {}) {
  const all: ClientControl[] = []
  const keys = new Keyboard((control) => all.push(control), hasNumLock)
  const event = (code: string, more: Partial<Key> & { held?: Held } = {}): Key => ({
    code,
    key: code.replace(/^Key/, '').toLowerCase(),
    keyCode: 65,
    isComposing: false,
    ctrlKey: false,
    shiftKey: false,
    altKey: false,
    metaKey: false,
    getModifierState: (name) => more.held?.[name as keyof Held] ?? false,
    ...more,
  })
  const down = (code: string, more?: Partial<Key> & { held?: Held }) => keys.down(event(code, more))
  const up = (code: string, more?: Partial<Key> & { held?: Held }) => keys.up(event(code, more))
  const told = () =>
    all.flatMap((one) =>
      one.kind === 'key' ? [`${one.down ? '+' : '-'}${one.code}`] : one.kind === 'locks' ? [] : [one.kind],
    )
  const locks = () => all.filter(({ kind }) => kind === 'locks')
  return { keys, down, up, told, locks }
}

test('keys are told by their places, also again while they are held', () => {
  const { down, up, told } = keyboard()
  expect([down('KeyQ'), down('KeyQ'), up('KeyQ')]).toEqual(['taken', 'taken', 'taken'])
  expect(down('IntlYen')).toBe('taken')
  expect(told()).toEqual(['+KeyQ', '+KeyQ', '-KeyQ', '+IntlYen'])
})

test('what an input method takes stays in the browser, and so does its end', () => {
  const { down, up, told } = keyboard()
  expect(down('KeyK', { key: 'Process', keyCode: 229 })).toBe('browser')
  expect(down('KeyA', { isComposing: true })).toBe('browser')
  expect(up('KeyK', { isComposing: true })).toBe('browser')
  expect(down('', { key: 'Unidentified', keyCode: 0 })).toBe('browser')
  expect(told()).toEqual([])
})

test('a key that was held when composing began is let go', () => {
  const { down, up, told } = keyboard()
  down('ShiftLeft', { shiftKey: true })
  up('ShiftLeft', { isComposing: true })
  expect(told()).toEqual(['+ShiftLeft', '-ShiftLeft'])
})

test('a touch screen has Enter and arrows, if no places', () => {
  const { down, told } = keyboard()
  expect(down('', { key: 'Enter' })).toBe('taken')
  expect(down('', { key: 'ArrowLeft' })).toBe('taken')
  expect(told()).toEqual(['+Enter', '+ArrowLeft'])
})

test('Ctrl+F6 leaves, and F6 alone is the machine’s', () => {
  const { down, told } = keyboard()
  expect(down('F6', { ctrlKey: true })).toBe('leave')
  expect(down('F6')).toBe('taken')
  expect(told()).toEqual(['+F6'])
})

describe('modifiers', () => {
  test('that were let go elsewhere are let go at the machine before the next key', () => {
    const { down, told } = keyboard()
    down('AltLeft', { altKey: true })
    down('ShiftLeft', { altKey: true, shiftKey: true })
    down('KeyA', { shiftKey: true })
    expect(told()).toEqual(['+AltLeft', '+ShiftLeft', '-AltLeft', '+KeyA'])
  })

  test('all go when the keyboard is somebody else’s', () => {
    const { keys, down, up, told } = keyboard()
    down('ControlLeft', { ctrlKey: true })
    keys.blur()
    up('ControlLeft')
    expect(told()).toEqual(['+ControlLeft', 'releaseAll'])
  })

  test('of AltGr on Windows is one key', () => {
    const { down, up, told } = keyboard()
    const held = { AltGraph: true }
    down('ControlLeft', { ctrlKey: true })
    down('AltRight', { key: 'AltGraph', held })
    down('KeyQ', { held })
    up('KeyQ', { held })
    up('AltRight', { key: 'AltGraph' })
    up('ControlLeft')
    expect(told()).toEqual(['+ControlLeft', '-ControlLeft', '+AltRight', '+KeyQ', '-KeyQ', '-AltRight'])
  })

  test('of macOS that hide the end of other keys end them', () => {
    const { down, up, told } = keyboard()
    down('MetaLeft', { metaKey: true })
    down('KeyC', { metaKey: true })
    up('MetaLeft')
    expect(told()).toEqual(['+MetaLeft', '+KeyC', '-MetaLeft', '-KeyC'])
  })
})

describe('lock keys', () => {
  test('are told as what holds, before the first key and whenever it is different', () => {
    const { keys, down, up, locks, told } = keyboard()
    down('KeyA', { held: { NumLock: true } })
    up('KeyA', { held: { NumLock: true } })
    expect(locks()).toEqual([{ kind: 'locks', caps: false, num: true, scroll: false }])
    expect(down('CapsLock', { key: 'CapsLock', held: { NumLock: true } })).toBe('taken')
    up('CapsLock', { key: 'CapsLock', held: { NumLock: true, CapsLock: true } })
    expect(locks().slice(1)).toEqual([{ kind: 'locks', caps: true, num: true, scroll: false }])
    keys.blur()
    // It may have been changed at the machine meanwhile.
    down('KeyA', { held: { NumLock: true, CapsLock: true } })
    expect(locks()).toHaveLength(3)
    expect(told()).toEqual(['+KeyA', '-KeyA', 'releaseAll', '+KeyA'])
  })

  test('of a Japanese keyboard that mean something else are keys', () => {
    const { down, told } = keyboard()
    down('CapsLock', { key: 'Alphanumeric' })
    expect(told()).toEqual(['+CapsLock'])
  })

  test('that a keyboard does not have are on: its number pad writes numbers', () => {
    const { down, locks } = keyboard({ hasNumLock: false })
    down('Numpad1')
    expect(locks()).toEqual([{ kind: 'locks', caps: false, num: true, scroll: false }])
  })
})

describe('pasting', () => {
  const paste = { ctrlKey: true }
  test('presses the key once the clipboard is at the machine', () => {
    const { keys, down, up, told } = keyboard()
    keys.pastes = true
    down('ControlLeft', paste)
    expect(down('KeyV', paste)).toBe('paste')
    expect(told()).toEqual(['+ControlLeft'])
    keys.pasted()
    up('KeyV', paste)
    expect(told()).toEqual(['+ControlLeft', '+KeyV', '-KeyV'])
  })

  test('of nothing presses the key all the same', () => {
    const { keys, down, up, told } = keyboard()
    keys.pastes = true
    expect(down('Insert', { shiftKey: true })).toBe('paste')
    up('Insert', { shiftKey: true })
    expect(told()).toEqual(['+Insert', '-Insert'])
  })

  test('that is not allowed is a key like any other', () => {
    const { down, told } = keyboard()
    expect(down('KeyV', paste)).toBe('taken')
    expect(told()).toEqual(['+KeyV'])
  })
})
