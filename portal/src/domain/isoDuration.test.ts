import { expect, test } from 'vitest'
import { isoDuration, minutesOf } from './isoDuration.ts'

test('durations of the server are read in minutes', () => {
  expect(minutesOf('PT8H')).toBe(480)
  expect(minutesOf('P1DT30M')).toBe(1470)
  expect(minutesOf('PT90M')).toBe(90)
  expect(minutesOf('eight hours')).toBe(0)
  expect(minutesOf(isoDuration(45))).toBe(45)
})
