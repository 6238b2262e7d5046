import { expect, test } from 'vitest'
import { difference } from './diff.ts'

test('only what differs, by path', () => {
  const before = { etag: 'a', properties: { priority: 100, access: 'Allow', ports: ['22'] } }
  const after = { etag: 'b', properties: { priority: 100, access: 'Deny', ports: ['22', '80'], description: 'x' } }
  expect(difference(before, after)).toEqual([
    { path: 'properties.access', before: 'Allow', after: 'Deny' },
    { path: 'properties.ports', before: '22', after: '22, 80' },
    { path: 'properties.description', before: undefined, after: 'x' },
  ])
})

test('creating and deleting', () => {
  expect(difference(null, { a: 1 })).toEqual([{ path: 'a', before: undefined, after: '1' }])
  expect(difference({ a: 1 }, undefined)).toEqual([{ path: 'a', before: '1', after: undefined }])
})
