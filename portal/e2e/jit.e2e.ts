import { expect, type Page } from '@playwright/test'
import { expectAccessible, test } from './fixtures.ts'
import { ready } from './ready.ts'
import { setLanguage } from './signIn.ts'

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
