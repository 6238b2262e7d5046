import { describe, expect, test } from 'vitest'
import { buttonsOf, pixelAt, scaleOf, Wheel } from './pointer.ts'

test.each([
  ['fit', 0.5],
  ['actual', 1],
  ['match', 0.5],
] as const)('a picture larger than its room is shown %s at %d', (scaling, scale) => {
  expect(scaleOf(scaling, { width: 1600, height: 1000 }, { width: 800, height: 800 })).toBe(scale)
})

test('a picture smaller than its room is enlarged only where the whole room is wanted', () => {
  const room = { width: 800, height: 800 }
  expect(scaleOf('fit', { width: 400, height: 200 }, room)).toBe(2)
  expect(scaleOf('match', { width: 400, height: 200 }, room)).toBe(1)
  expect(scaleOf('fit', { width: 400, height: 200 }, { width: 0, height: 0 })).toBe(1)
})

test('a point of the window is a pixel of the picture, and never one beside it', () => {
  const picture = { width: 1000, height: 500 }
  const box = { left: 100, top: 50, width: 500, height: 250 }
  const at = (clientX: number, clientY: number) => pixelAt(picture, box, { clientX, clientY })
  expect(at(100, 50)).toEqual({ x: 0, y: 0 })
  expect(at(350.4, 175)).toEqual({ x: 500, y: 250 })
  expect(at(600, 300)).toEqual({ x: 999, y: 499 })
  expect(at(-50, 900)).toEqual({ x: 0, y: 499 })
})

test('buttons beyond the fifth do not count', () => {
  expect(buttonsOf(0b1100101)).toBe(0b00101)
})

describe('a wheel', () => {
  const pixels = (deltaY: number, deltaX = 0) => ({ deltaX, deltaY, deltaMode: 0 })
  test('turns by whole notches, however finely it says so', () => {
    const wheel = new Wheel()
    expect(wheel.turn(pixels(40))).toBeUndefined()
    expect(wheel.turn(pixels(40))).toBeUndefined()
    expect(wheel.turn(pixels(40))).toEqual({ dx: 0, dy: 1 })
    expect(wheel.turn(pixels(-120, 250))).toEqual({ dx: 2, dy: -1 })
  })
  test('forgets what it had begun when it turns back', () => {
    const wheel = new Wheel()
    wheel.turn(pixels(90))
    expect(wheel.turn(pixels(-100))).toEqual({ dx: 0, dy: -1 })
  })
  test('that counts in lines has three to a notch', () => {
    expect(new Wheel().turn({ deltaX: 0, deltaY: 3, deltaMode: 1 })).toEqual({ dx: 0, dy: 1 })
  })
})
