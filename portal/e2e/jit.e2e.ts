import { expect, type Page } from '@playwright/test'
import { expectAccessible, test } from './fixtures.ts'
import { ready } from './ready.ts'
import { send } from './send.ts'
import { enrol, setLanguage } from './signIn.ts'

const adminLogin = '1c0163c0-47e6-4577-8991-ea5c82e286e4'
const region = (page: Page, name: string) => page.getByRole('region', { name })

test('a port is guarded, opened in two clicks, counted down and closed', async ({ portal }) => {
  const [machine] = ready.machines
  if (!machine) throw new Error('the demo has no machine')
  await portal.goto(`${ready.url}/jit`)
  await setLanguage(portal, 'en')
  await expect(portal.getByRole('heading', { level: 1, name: 'Just-in-time access' })).toBeVisible()
  await portal.getByText(/^Not configured/).click()
  await portal.getByRole('button', { name: `Guard a port: ${machine.name}` }).click()
  await portal.getByRole('dialog').getByLabel('Port').fill('3389')
  await expectAccessible(portal)
  await portal.getByRole('dialog').getByRole('button', { name: 'Guard a port…' }).click()
  // What the machine would do is said before it is done.
  const effect = region(portal, 'Effect on guarded ports')
  await expect(effect.getByText(`${machine.name}: tcp 3389`).first()).toBeVisible()
  await portal.getByRole('button', { name: 'Guard a port', exact: true }).click()

  await portal.getByText(/^Configured/).click()
  const row = region(portal, 'Machines').getByRole('row', { name: new RegExp(machine.name) })
  await expect(row.getByText('3389')).toBeVisible()
  await portal.getByRole('button', { name: `Request access: ${machine.name}` }).click()
  await portal.getByRole('dialog').getByRole('button', { name: 'Open', exact: true }).click()
  const open = region(portal, 'Open now')
  const access = open.getByRole('row', { name: new RegExp(`${machine.name}.*0:59:`) })
  await expect(access).toBeVisible()
  await expect(access.getByText('Open', { exact: true }), 'the machine says that it is in force').toBeVisible()
  await expectAccessible(portal)

  await access.getByRole('button', { name: /^More time/ }).click()
  await portal.getByRole('dialog').getByLabel('From now').waitFor()
  await expectAccessible(portal)
  await portal.getByRole('dialog').getByRole('button', { name: 'More time', exact: true }).click()
  await expect(portal.getByRole('dialog')).toBeHidden()

  await access.getByRole('button', { name: /^Close now/ }).click()
  await portal.getByRole('dialog').getByRole('button', { name: 'Close now', exact: true }).click()
  await expect(access).toBeHidden()
  await region(portal, 'Requests')
    .getByRole('button', { name: new RegExp(`^Timeline: ${machine.name}`) })
    .first()
    .click()
  const timeline = portal.getByRole('list', { name: 'Timeline' })
  await expect(timeline.getByText('Opened')).toBeVisible()
  await expect(timeline.getByText('Given more time')).toBeVisible()
  await expect(timeline.getByText('Closed')).toBeVisible()
  await expect(portal.getByText('Never', { exact: true }).first(), 'nobody has used it').toBeVisible()
  await expectAccessible(portal)
})

test('sudo and an account are offered, asked for together, shown and ended', async ({ portal }) => {
  const machine = ready.machines.at(-1)
  if (!machine) throw new Error('the demo has no machine')
  await portal.goto(`${ready.url}/jit`)
  await setLanguage(portal, 'en')
  const me = await portal.evaluate(
    async () => (await (await fetch('/auth/session')).json()) as { person: { id: string } },
  )
  // Nobody offers what they may not do themselves.
  const role = `${machine.id}/providers/Microsoft.Authorization/roleAssignments/${crypto.randomUUID()}`
  await send(portal, 'PUT', `${role}?api-version=2022-04-01`, {
    properties: {
      roleDefinitionId: `/providers/Microsoft.Authorization/roleDefinitions/${adminLogin}`,
      principalId: me.person.id,
      principalType: 'User',
    },
  })
  await portal.getByText(/^Not configured/).click()
  await portal.getByRole('button', { name: `Guard a port: ${machine.name}` }).click()
  const dialog = portal.getByRole('dialog')
  await dialog.getByText('sudo and accounts', { exact: true }).click()
  await dialog.getByText('Temporary account', { exact: true }).click()
  await dialog.getByLabel('Commands').fill('bin/sh')
  await expect(dialog.getByText("'bin/sh' is no absolute path of a command.")).toBeVisible()
  await dialog.getByLabel('Commands').fill('/usr/bin/id\n/usr/bin/tail')
  await expectAccessible(portal)
  await dialog.getByRole('button', { name: 'Offer…' }).click()
  await portal.getByRole('button', { name: 'Offer', exact: true }).click()
  await expect(portal.getByRole('dialog')).toBeHidden()

  await portal.getByText(/^Configured/).click()
  const row = region(portal, 'Machines').getByRole('row', { name: new RegExp(machine.name) })
  await expect(row.getByText('sudo, Temporary account')).toBeVisible()
  await portal.getByRole('button', { name: `Request access: ${machine.name}` }).click()
  await dialog.getByText('Temporary account', { exact: true }).click()
  await dialog.getByLabel('User', { exact: true }).fill('visitor')
  await expect(dialog.getByText('as root: /usr/bin/id, /usr/bin/tail')).toBeVisible()
  await expectAccessible(portal)
  await dialog.getByRole('button', { name: 'Start', exact: true }).click()
  const open = region(portal, 'Open now')
  const access = open.getByRole('row', {
    name: new RegExp(`${machine.name}.*account visitor, sudo \\(visitor\\).*0:59:`),
  })
  await expect(access).toBeVisible()
  await expect(access.getByText('Open', { exact: true }), 'the machine says that it has given it').toBeVisible()
  await expectAccessible(portal)

  await access.getByRole('button', { name: /^Close now/ }).click()
  await portal.getByRole('dialog').getByRole('button', { name: 'Close now', exact: true }).click()
  await expect(access).toBeHidden()
  await region(portal, 'Requests')
    .getByRole('button', { name: new RegExp(`^Timeline: ${machine.name}`) })
    .first()
    .click()
  await expect(portal.getByText('visitor as root: /usr/bin/id, /usr/bin/tail')).toBeVisible()
  await expectAccessible(portal)
})

test('whoever may say yes is told on whichever page they are, and only as long as somebody waits', async ({
  portal,
  newcomer,
}) => {
  test.setTimeout(120_000)
  const [machine] = ready.machines
  if (!machine) throw new Error('the demo has no machine')
  const [group = ''] = machine.id.split('/providers/')
  await portal.goto(ready.url)
  await setLanguage(portal, 'en')
  const { id: person = '' } = await send(portal, 'POST', '/v1.0/users', {
    userPrincipalName: 'asks@example.com',
    displayName: 'Asks',
  })
  const { link = '' } = await send(portal, 'POST', `/v1.0/users/${person}/sekisho.invite`, {})
  await enrol(newcomer, link, 'harbour lantern quarry velvet 7')
  const type = 'Microsoft.Security/locations/jitNetworkAccessPolicies'
  const role = `/providers/Microsoft.Authorization/roleDefinitions/${crypto.randomUUID()}`
  await send(portal, 'PUT', `${group}${role}?api-version=2022-04-01`, {
    properties: {
      roleName: 'Asks for access',
      type: 'CustomRole',
      assignableScopes: [group],
      permissions: [{ actions: [`${type}/read`, `${type}/initiate/action`] }],
    },
  })
  const assignment = `${group}/providers/Microsoft.Authorization/roleAssignments/${crypto.randomUUID()}`
  await send(portal, 'PUT', `${assignment}?api-version=2022-04-01`, {
    properties: { roleDefinitionId: `${group}${role}`, principalId: person, principalType: 'User' },
  })
  const policy = `${group}/providers/Microsoft.Security/locations/home/jitNetworkAccessPolicies/approved`
  const port = { number: 4444, protocol: 'TCP', allowedSourceAddressPrefix: '*', maxRequestAccessDuration: 'PT1H' }
  await send(portal, 'PUT', `${policy}?api-version=2020-01-01`, {
    kind: 'Basic',
    properties: {
      virtualMachines: [{ id: machine.id, ports: [port] }],
      sekisho: { approval: { required: 1 }, onlyWay: 'close' },
    },
  })

  const entry = (page: Page) =>
    page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: /^Just-in-time/ })
  await expect(entry(portal)).toHaveAccessibleName('Just-in-time access')
  await send(newcomer, 'POST', `${policy}/initiate?api-version=2020-01-01`, {
    virtualMachines: [{ id: machine.id, ports: [{ number: 4444, duration: 'PT10M' }] }],
  })
  await expect(entry(portal), 'without a reload').toHaveAccessibleName(/1 request waits for you/)
  const tile = region(portal, 'Needs attention').getByRole('link', { name: /requests for access that wait for you/ })
  await expect(tile).toContainText('1')
  await expectAccessible(portal)
  await newcomer.goto(`${ready.url}/jit`)
  await expect(region(newcomer, 'Waiting for a decision')).toBeVisible()
  await expect(entry(newcomer), 'nobody decides on their own').toHaveAccessibleName('Just-in-time access')

  await tile.click()
  await region(portal, 'Waiting for a decision').getByRole('button', { name: 'Decide…' }).click()
  await portal.getByRole('dialog').getByRole('button', { name: 'Deny', exact: true }).click()
  await expect(entry(portal)).toHaveAccessibleName('Just-in-time access')
  await send(portal, 'DELETE', `${policy}?api-version=2020-01-01`)
})
