import { expect, test } from 'vitest'
import { eventsOf } from './events.ts'

test('commands, files and clipboards are read, and what is none of them is left out', () => {
  const file = (value: object) => JSON.stringify(value)
  const lines = [
    [0, 'c', 'tar x'],
    [5, 'f', file({ op: 'upload', path: '関所', bytes: 7 })],
    [6, 'f', file({ op: 'rename', path: 'a', to: 'b', more: 1 })],
    [7, 'f', '{'],
    [8, 'f', 'null'],
    [9, 'b', file({ intoMachine: true, chars: 3 })],
    [9, 'b', file({ chars: 3 })],
    [9, 'o', 'x'],
    ['1', 'c', 'x'],
    null,
  ]
  expect(eventsOf(lines)).toEqual([
    { atMs: 0, kind: 'command', text: 'tar x' },
    { atMs: 5, kind: 'file', op: 'upload', path: '関所', bytes: 7 },
    { atMs: 6, kind: 'file', op: 'rename', path: 'a', to: 'b' },
    { atMs: 9, kind: 'clipboard', isIntoMachine: true, chars: 3 },
  ])
})
