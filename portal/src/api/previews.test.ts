// @vitest-environment happy-dom
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { describe, expect, test } from 'vitest'
import * as auth from './queries/auth.ts'
import * as authorization from './queries/authorization.ts'
import * as bastionLinks from './queries/bastionLinks.ts'
import * as bastion from './queries/bastion.ts'
import * as conditionalAccess from './queries/conditionalAccess.ts'
import * as desktops from './queries/desktops.ts'
import * as directory from './queries/directory.ts'
import * as fleet from './queries/fleet.ts'
import * as jit from './queries/jit.ts'
import * as network from './queries/network.ts'
import * as pim from './queries/pim.ts'
import * as traffic from './queries/traffic.ts'
import type {
  Application,
  BastionHost,
  Credential,
  FlowLog,
  GrantRow,
  Group,
  JitRequest,
  LiveSession,
  ResourceGroup,
  SessionRow,
  ShareableLink,
  User,
} from './types.ts'
import { resourceWrite, type Write } from './writes.ts'

/**
 * Nothing changes unseen: every request of the portal that writes is found here by reading the portal's source, and is
 * held against what the server says it can try out.
 */
const src = join(import.meta.dirname, '..')
const sources = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((file) => /\.tsx?$/.test(file) && !/\.test\.|\.d\.ts$/.test(file))
  .map((file) => ({ file: relative('.', file), text: readFileSync(join(src, file), 'utf8') }))

const { paths } = JSON.parse(readFileSync(join(src, '../openapi.json'), 'utf8')) as {
  paths: Record<string, Record<string, { parameters?: { name?: string }[] }>>
}

const subscription = '/subscriptions/3e2c7a1e-0000-4000-8000-000000000001'
const group = { id: `${subscription}/resourceGroups/rg`, name: 'rg', location: 'japaneast' } as ResourceGroup
const nsg = `${group.id}/providers/Microsoft.Network/networkSecurityGroups/nsg`
const vnet = `${group.id}/providers/Microsoft.Network/virtualNetworks/vnet`
const machine = `${group.id}/providers/Microsoft.Compute/virtualMachines/vm`
const watcher = `${group.id}/providers/Microsoft.Network/networkWatchers/nw`
const policy = `${group.id}/providers/Microsoft.Security/locations/home/jitNetworkAccessPolicies/default`
const user = { id: 'u', displayName: 'Eve' } as User
const team = { id: 'g', displayName: 'Team' } as Group
const application = { id: 'a', appId: 'b', displayName: 'ci' } as Application

const bastionHost = `${group.id}/providers/Microsoft.Network/bastionHosts/bh`
const openSession = {
  machine,
  host: bastionHost,
  place: 'p',
  sessionId: 's',
  account: 'alice',
} as bastion.BastionSession

const held = {
  id: `${subscription}/providers/Microsoft.Authorization/roleEligibilitySchedules/s`,
  name: 's',
  properties: { scope: subscription, roleDefinitionId: 'r', principalId: 'p' },
} as pim.EligibleRole

/** One of each write that the portal can make. */
const writes: Record<string, Write> = {
  createToken: fleet.createToken({ group, name: 't', ttlSeconds: 60, maxUses: 1, machineTags: {} }),
  createResourceGroup: fleet.createResourceGroup(subscription, 'rg', 'japaneast'),
  rekeyMachine: fleet.rekeyMachine(`${group.id}/providers/Microsoft.Compute/virtualMachines/vm`),
  createNsg: network.createNsg(group, 'nsg'),
  endBastionSession: bastion.endBastionSession(openSession),
  messageBastionSession: bastion.messageBastionSession(openSession, 'hello'),
  createLink: bastionLinks.createLink({
    host: bastionHost,
    machine,
    account: 'alice',
    duration: 'PT1H',
    from: [],
  }),
  takeLinkBack: bastionLinks.takeLinkBack(bastionHost, { vm: { id: machine }, sekisho: { id: 'l' } } as ShareableLink),
  keepRecording: bastion.keepRecording({ machine, id: 'r' } as bastion.Recording, 'hold', 'because'),
  keepPassword: desktops.keepPassword(machine, { protocol: 'rdp', account: 'alice', password: 'secret' }),
  forgetPassword: desktops.forgetPassword(machine, { protocol: 'rdp', account: 'alice' }),
  forgetCertificate: desktops.forgetCertificate(machine, { port: 3389 }),
  createBastionHost: bastion.createBastionHost(group, 'bh', {} as BastionHost),
  importServiceTags: network.importServiceTags({ changeNumber: 63, cloud: 'Public', values: [] }),
  initiate: jit.initiate({
    policy,
    machine,
    ports: [22],
    minutes: 60,
    reason: 'because',
    ticket: '',
    source: '',
    sudo: true,
    account: false,
    login: false,
    user: '',
  }),
  extend: jit.extend(policy, { sekisho: { id: 'r' } } as JitRequest, { minutes: 60, reason: 'because', ticket: '' }),
  decide: jit.decide(policy, { sekisho: { id: 'r' } } as JitRequest, 'approve', 'because'),
  guard: jit.guard({ group: group.id, location: 'home', machine, port: 22, minutes: 180 }, []),
  offerUsers: jit.offerUsers(
    { group: group.id, location: 'home', machine, minutes: 60, sudo: true, commands: [], account: true, login: true },
    [],
  ),
  createWatcher: traffic.createWatcher(machine, 'home'),
  logFlows: traffic.logFlows(
    { id: watcher, location: 'home' },
    `${group.id}/providers/Microsoft.Network/networkInterfaces/nic`,
  ),
  stopLogging: traffic.stopLogging({ id: `${watcher}/flowLogs/f`, name: 'f' } as FlowLog),
  createAssignment: authorization.createAssignment(
    { scope: subscription, roleDefinitionId: 'r', principalId: 'p', principalType: 'User' },
    'name',
  ),
  assignSpan: pim.assignSpan({
    kind: 'Eligibility',
    scope: subscription,
    roleDefinitionId: 'r',
    principalId: 'p',
    justification: 'because',
  }),
  endSpan: pim.endSpan(held),
  activate: pim.activate({ role: held, person: 'p', scope: group.id, reason: 'because', ticket: '', minutes: 60 }),
  deactivate: pim.deactivate(held),
  cancelRequest: pim.cancelRequest({
    id: `${subscription}/providers/Microsoft.Authorization/roleAssignmentScheduleRequests/r`,
    properties: { status: 'PendingApproval' },
  } as pim.RoleRequest),
  saveSettings: pim.saveSettings(subscription, 'r', []),
  savePolicy: conditionalAccess.savePolicy({ displayName: 'p' }),
  deletePolicy: conditionalAccess.deletePolicy({ id: 'p' }),
  confirmPolicy: conditionalAccess.confirmPolicy({ id: 'p' }),
  saveLocation: conditionalAccess.saveLocation({ '@odata.type': 't', displayName: 'l' }),
  deleteLocation: conditionalAccess.deleteLocation({ id: 'l', '@odata.type': 't', displayName: 'l' }),
  createUser: directory.createUser('Eve', 'eve@example.com'),
  inviteUser: directory.inviteUser(user),
  setUserEnabled: directory.setUserEnabled(user, false),
  sayOfAccount: directory.sayOfAccount(user, 'dismiss'),
  deleteUser: directory.deleteUser(user),
  issuePass: directory.issuePass(user, 60),
  endLiveSession: directory.endLiveSession({ id: 's', userDisplayName: 'Eve' } as LiveSession),
  revokeSignIns: directory.revokeSignIns({ userId: 'u', userDisplayName: 'Eve' } as LiveSession),
  createGroup: directory.createGroup('Team'),
  addMember: directory.addMember(team, 'u'),
  removeMember: directory.removeMember(team, 'u'),
  createApplication: directory.createApplication('ci'),
  createServicePrincipal: directory.createServicePrincipal(application),
  addSecret: directory.addSecret(application, 's', '2026-12-01T00:00:00Z'),
  removeSecret: directory.removeSecret(application, 'k'),
  deleteApplication: directory.deleteApplication(application),
  revokeSession: auth.revokeSession({ id: 's', ipAddress: '192.0.2.1' } as SessionRow),
  revokeGrant: auth.revokeGrant({ id: 'g', clientName: 'Azure CLI' } as GrantRow),
  revokeOtherSessions: auth.revokeOtherSessions(),
  deleteCredential: auth.deleteCredential({ id: 'c', label: 'laptop', kind: 'passkey' } as Credential),
  beginPasskey: auth.beginPasskey('laptop'),
}

/** What pages write by the id of what they show. */
const byId: Write[] = [
  resourceWrite('PUT', `${nsg}/securityRules/r`),
  resourceWrite('DELETE', `${nsg}/securityRules/r`),
  resourceWrite('DELETE', nsg),
  resourceWrite('PUT', `${group.id}/providers/Microsoft.Network/networkInterfaces/nic`),
  resourceWrite('PUT', `${vnet}/subnets/s`),
  resourceWrite('DELETE', `${group.id}/providers/Microsoft.Compute/virtualMachines/vm`),
  resourceWrite('DELETE', `${group.id}/providers/Sekisho.Fleet/enrolmentTokens/t`),
  resourceWrite('DELETE', `${subscription}/providers/Microsoft.Authorization/roleAssignments/a`),
]

/** A pattern's `{resourceId}` is a whole id, every other word in braces one word. */
const matches = (pattern: string, path: string) => {
  const words = pattern
    .toLowerCase()
    .split('/')
    .map((word) =>
      word === '{resourceid}' ? '.+' : word.startsWith('{') ? '[^/]+' : word.replace(/[.$()]/g, String.raw`\$&`),
    )
  return new RegExp(`^${words.join('/')}$`).test(path)
}

function described({ method, url }: Write) {
  const path = url.replace(/\?.*/, '').toLowerCase()
  return Object.entries(paths).find(
    ([pattern, operations]) => method.toLowerCase() in operations && matches(pattern, path),
  )?.[1][method.toLowerCase()]
}

/** Exported functions whose answer is a write. `finishPasskey` is the second half of `beginPasskey`. */
const factories = sources
  .filter(({ file }) => file.startsWith('api/queries/'))
  .flatMap(({ text }) => text.split(/\n(?=export |function )/))
  .filter((part) => /\b(resourceWrite|directoryWrite)\b[<(]|\): Write/.test(part))
  .flatMap((part) => /^export (?:const|function) (\w+)/.exec(part)?.slice(1) ?? [])

test('each kind of write stands in the table', () => {
  expect(factories.toSorted()).toEqual(Object.keys(writes).toSorted())
})

describe.each([...Object.values(writes), ...byId])('$method $url', (write) => {
  test('the server tries it out, or the portal foresees it from what the server tells', () => {
    const operation = described(write)
    expect(operation, 'the server describes it').toBeDefined()
    const tried = operation?.parameters?.some(({ name }) => name === 'whatIf') ?? false
    expect(tried || write.foresee !== undefined).toBe(true)
    // One that the server tries out is not also guessed.
    expect(tried && write.foresee !== undefined).toBe(false)
  })
})

test('only the review can send a write', () => {
  // Questions that are asked by POST, and what one signs in and out with.
  const asking = [
    'api/client.ts',
    'api/writes.ts',
    'api/queries/network.ts',
    'api/queries/traffic.ts',
    'api/queries/authorization.ts',
    'api/queries/conditionalAccess.ts',
    // Azure lists links by POST, and the address of one is nothing for a GET.
    'api/queries/bastionLinks.ts',
    'session/link/api.ts',
    // Whoever is at a machine acts there; these are keys, files and screens of sessions, and nothing of Sekisho's.
    'session/files/api.ts',
    'session/api.ts',
    // What one's own SSH client comes in with, for as long as one is signed in: as signing in, it changes nothing else.
    'api/queries/sshKeys.ts',
    // Showing a recording is a question.
    'session/replay/api.ts',
  ]
  const sending = sources.filter(({ text }) => /\bcall(<[^(]*>)?\(\s*(?!'GET')/.test(text)).map(({ file }) => file)
  expect(sending.toSorted()).toEqual([...asking, 'api/queries/auth.ts'].toSorted())
  expect(
    sources
      .filter(({ text }) => /\bfetch\(/.test(text))
      .map(({ file }) => file)
      .toSorted(),
  ).toEqual(['api/client.ts', 'main.tsx', 'session/files/api.ts'])
  const posts = sources.find(({ file }) => file === 'api/queries/auth.ts')?.text.matchAll(/post<[^(]*>\('([^']+)'/g)
  expect([...(posts ?? [])].map(([, url]) => url).filter((url) => !url?.startsWith('/auth/setup/'))).toEqual([
    '/auth/passkey/begin',
    '/auth/passkey/finish',
    '/auth/password',
    '/auth/stepup',
    '/auth/credentials/password',
    '/auth/accesspass',
    '/auth/authorize/inspect',
    '/auth/authorize',
    '/auth/device/inspect',
    '/auth/device',
  ])
})

test('whoever makes a write has it reviewed', () => {
  const makes = new RegExp(`\\b(resourceWrite|${factories.join('|')})\\(|\\.attach\\(`)
  const makers = sources.filter(({ file, text }) => !file.startsWith('api/') && makes.test(text))
  expect(makers.length).toBeGreaterThan(10)
  // A panel that reviews what it is given to make.
  const panel = sources.find(({ file }) => file === 'parts/CreatePanel.tsx')
  expect(panel?.text).toContain('<ReviewDialog')
  const unseen = makers
    .filter(({ text }) => !/<ReviewDialog|<CreatePanel|useSendNow\(/.test(text))
    .map(({ file }) => file)
  // What can be attached is described there for the panels, which review it.
  expect(unseen).toEqual(['features/nsg/targets.ts'])
})

test('nothing else has an effect: mutations are the review, the dialogs that are one, signing in, confirming, and questions', () => {
  const mutating = sources.filter(({ text }) => text.includes('useMutation(')).map(({ file }) => file)
  expect(mutating.toSorted()).toEqual([
    'app/Notices.tsx',
    'features/bastion/SshClientCard.tsx',
    'features/conditionalaccess/BacktestAnswer.tsx',
    'features/conditionalaccess/WhatIfTab.tsx',
    'features/machine/PacketTrial.tsx',
    'features/rbac/CheckTab.tsx',
    'features/sessions/PasswordDialog.tsx',
    'features/signin/AccessPassForm.tsx',
    'features/signin/AuthenticatorStep.tsx',
    'features/signin/AuthorizePage.tsx',
    'features/signin/DeviceLoginPage.tsx',
    'features/signin/SetupForm.tsx',
    'features/signin/SignInForm.tsx',
    'features/signin/StepUpDialog.tsx',
    'parts/ReviewDialog.tsx',
    'parts/useSendNow.ts',
  ])
})
