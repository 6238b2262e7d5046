import { expect, type Page } from '@playwright/test'
import { expectAccessible, test } from './fixtures.ts'
import { ready } from './ready.ts'
import { send } from './send.ts'
import { setLanguage } from './signIn.ts'

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

test('whoever may decide sees, wherever they are, that somebody asks for access', async ({ portal }) => {
  const machine = ready.machines.at(-1)
  if (!machine) throw new Error('the demo has no machine')
  await portal.goto(`${ready.url}/machines`)
  await setLanguage(portal, 'en')
  const [group = ''] = machine.id.split('/providers/')
  const policy = `${group}/providers/Microsoft.Security/locations/home/jitNetworkAccessPolicies/asked`
  const rule = { number: 3390, protocol: '*', allowedSourceAddressPrefix: '*', maxRequestAccessDuration: 'PT1H' }
  const guard = (approval: object) =>
    send(portal, 'PUT', `${policy}?api-version=2020-01-01`, {
      kind: 'Basic',
      properties: {
        virtualMachines: [{ id: machine.id, ports: [rule] }],
        sekisho: { approval: { required: 1, ...approval }, onlyWay: 'close' },
      },
    })
  await guard({})
  const told = portal.getByRole('link', { name: 'Just-in-time access 1 request waits for you' })
  await expect(told).toHaveCount(0)
  await portal.evaluate(
    async ({ tenant, program, url, body }) => {
      const form = new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: program.appId,
        client_secret: program.password,
        scope: 'https://management.azure.com/.default',
      })
      const token = await fetch(`/${tenant}/oauth2/v2.0/token`, { method: 'POST', body: form, credentials: 'omit' })
      const { access_token } = (await token.json()) as { access_token: string }
      const headers = { authorization: `Bearer ${access_token}`, 'content-type': 'application/json' }
      const made = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body), credentials: 'omit' })
      if (!made.ok) throw new Error(await made.text())
    },
    {
      tenant: ready.tenantId,
      program: ready.servicePrincipal,
      url: `${policy}/initiate?api-version=2020-01-01`,
      body: {
        virtualMachines: [
          { id: machine.id, ports: [{ number: 3390, duration: 'PT1H', allowedSourceAddressPrefix: '192.0.2.1' }] },
        ],
      },
    },
  )
  await expect(told).toBeVisible()
  await expectAccessible(portal)
  await told.click()
  const deciding = portal.getByRole('button', { name: 'Decide…' })
  await expect(deciding).toBeVisible()
  const approvers = await send(portal, 'POST', '/v1.0/groups', { displayName: 'Approvers of others' })
  await guard({ group: approvers.id })
  await expect(portal.getByText('Others decide')).toBeVisible()
  await expect(deciding).toHaveCount(0)
  await expect(told).toHaveCount(0)
  await send(portal, 'DELETE', `${policy}?api-version=2020-01-01`)
  await send(portal, 'DELETE', `/v1.0/groups/${approvers.id}`)
})
