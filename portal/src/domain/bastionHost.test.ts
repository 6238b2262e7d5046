import { expect, test } from 'vitest'
import type { BastionHost } from '../api/types.ts'
import { draftOf, has, hostBody, isComplete, isLimit, isPorts, newHost, sameDraft } from './bastionHost.ts'

const host = (value: object) => ({ id: '/h', name: 'h', ...value }) as BastionHost

test('what is read is what would be written again', () => {
  const kept = host({
    sku: { name: 'Premium' },
    properties: {
      provisioningState: 'Succeeded',
      dnsName: 'b/bastions/x',
      scaleUnits: 4,
      enableSessionRecording: true,
      disableCopyPaste: true,
      networkAcls: { ipRules: [{ addressPrefix: '192.0.2.0/24' }, { addressPrefix: '2001:db8::/32' }] },
      ipConfigurations: [{ name: 'mine', properties: { subnet: { id: '/subnet' } } }],
    },
  })
  const draft = draftOf(kept)
  expect(draft.networks).toBe('192.0.2.0/24\n2001:db8::/32')
  const { sku, properties } = hostBody(draft, kept)
  expect(sku).toEqual({ name: 'Premium' })
  expect(properties).toMatchObject(kept.properties)
  expect(sameDraft(draftOf(host({ sku, properties })), draft)).toBe(true)
})

test('a SKU is sent without what it does not have', () => {
  const draft = { ...newHost, sku: 'Basic' as const, on: ['enableTunneling' as const] }
  expect(has('Basic', 'enableTunneling')).toBe(false)
  expect(hostBody(draft).properties.enableTunneling).toBe(false)
  expect(has('Standard', 'enableSessionRecording')).toBe(false)
  expect(has('Premium', 'enableSessionRecording')).toBe(true)
})

test('a host leaves its subnet when none is chosen', () => {
  const kept = host({ properties: { ipConfigurations: [{ properties: { subnet: { id: '/subnet' } } }] } })
  expect(hostBody({ ...draftOf(kept), subnet: '' }, kept).properties.ipConfigurations).toBeNull()
})

test('limits are read, checked and written, and what is not changed stays to the byte', () => {
  const sekisho = { maximumMinutes: 60, maximumFileBytes: 1_500_000, disableUpload: true, recording: 'metadata' }
  const kept = host({ properties: { sekisho } })
  const draft = draftOf(kept)
  expect(draft.limits).toEqual({ maximumMinutes: '60', idleMinutes: '', sessionsPerPerson: '', maximumFileMiB: '1' })
  expect(draft.barred).toEqual(['disableUpload'])
  expect(hostBody(draft, kept).properties.sekisho).toMatchObject(sekisho)
  const changed = { ...draft, limits: { ...draft.limits, maximumMinutes: '', maximumFileMiB: '2' }, barred: [] }
  expect(sameDraft(changed, draft)).toBe(false)
  expect(hostBody(changed, kept).properties.sekisho).toMatchObject({
    maximumMinutes: undefined,
    maximumFileBytes: 2 * 1024 * 1024,
    disableUpload: undefined,
    recording: 'metadata',
  })
  expect(['', '1', '720', '0', '721', '1.5', '-1', 'x'].map((text) => isLimit('maximumMinutes', text))).toEqual([
    true,
    true,
    true,
    false,
    false,
    false,
    false,
    false,
  ])
  expect(isComplete(newHost)).toBe(true)
  expect(isComplete({ ...newHost, limits: { ...newHost.limits, idleMinutes: '0' } })).toBe(false)
})

test('ports and what is recorded are read, checked and written, and no port at all stays none', () => {
  const sekisho = { tunnelPorts: ['22', '8000-8100'], administratorRecording: 'full' }
  const kept = host({ properties: { sekisho } })
  const draft = draftOf(kept)
  expect([draft.ports, draft.kept]).toEqual(['22 8000-8100', { recording: '', administratorRecording: 'full' }])
  expect(hostBody(draft, kept).properties.sekisho).toMatchObject(sekisho)
  const changed = { ...draft, ports: '5432', kept: { ...draft.kept, recording: 'metadata' as const } }
  expect(sameDraft(changed, draft)).toBe(false)
  expect(hostBody(changed, kept).properties.sekisho).toMatchObject({ tunnelPorts: ['5432'], recording: 'metadata' })
  const closed = host({ properties: { sekisho: { tunnelPorts: [] } } })
  expect(hostBody(draftOf(closed), closed).properties.sekisho?.tunnelPorts).toEqual([])
  expect(hostBody({ ...draft, ports: '' }, kept).properties.sekisho?.tunnelPorts).toBeUndefined()
  expect(['22', '1-65535', '0', '65536', '8-7', '1-2-3', 'ssh'].map(isPorts)).toEqual([
    true,
    true,
    false,
    false,
    false,
    false,
    false,
  ])
  expect(isComplete({ ...newHost, ports: 'ssh' })).toBe(false)
})
