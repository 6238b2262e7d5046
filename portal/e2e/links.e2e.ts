import { expect } from '@playwright/test'
import { expectAccessible, test } from './fixtures.ts'
import { reach } from './reach.ts'
import { ready } from './ready.ts'
import { send } from './send.ts'
import { enrol } from './signIn.ts'

test('a login is lent by a link to somebody without a right, and ends when the link is taken back', async ({
  portal,
  newcomer,
}) => {
  test.setTimeout(180_000)
  const properties = { enableShareableLink: true }
  const machine = await reach(portal, 1, { name: 'lending', sku: 'Standard', properties })
  const [group = ''] = machine.id.split('/providers/')
  const host = `${group}/providers/Microsoft.Network/bastionHosts/lending`
  const guest = { userPrincipalName: 'guest@example.com', displayName: 'Guest' }
  const { id: person } = await send(portal, 'POST', '/v1.0/users', guest)
  const { link: invitation = '' } = await send(portal, 'POST', `/v1.0/users/${person}/sekisho.invite`, {})
  await enrol(newcomer, invitation, 'harbour lantern quarry velvet 8')

  await portal.goto(`${ready.url}/r${machine.id}/connect`)
  await portal.getByRole('button', { name: /Bastion host/ }).click()
  await portal.getByRole('option', { name: /lending/ }).click()
  await portal.getByLabel('Account on the machine').fill('root')
  await portal.getByRole('button', { name: 'Make a link' }).click()
  const panel = portal.getByRole('dialog')
  await panel.getByText('For one session only').click()
  await expectAccessible(portal)
  await panel.getByRole('button', { name: 'Review' }).click()
  await portal.getByRole('button', { name: 'Make the link' }).click()
  const link = (await portal.getByRole('region', { name: 'Link' }).innerText()).trim()
  expect(link).toMatch(/\/session\/link#[0-9a-f]{32}\.[\w-]+$/)
  await expectAccessible(portal)
  await portal.screenshot({ path: 'test-results/link.png' })
  await portal.getByRole('button', { name: 'Close', exact: true }).last().click()

  await newcomer.goto(link)
  await expect(newcomer.getByText('owner@example.com lets you log in to this machine.')).toBeVisible()
  await expectAccessible(newcomer)
  await newcomer.screenshot({ path: 'test-results/lent.png' })
  await newcomer.getByRole('button', { name: 'Log in' }).click()
  await expect(newcomer.locator('.xterm-rows')).toContainText('#', { timeout: 60_000 })
  expect(newcomer.url(), 'the link leaves the address bar').not.toContain('#')
  await newcomer.locator('.xterm').click()
  await newcomer.keyboard.type('echo $((6*7))-$(id -un)\n')
  await expect(newcomer.locator('.xterm-rows')).toContainText('42-root')
  // After a reload it is still there, without the link.
  await newcomer.reload()
  await newcomer.locator('.xterm').click()
  await newcomer.keyboard.type('echo again-$((6*9))\n')
  await expect(newcomer.locator('.xterm-rows')).toContainText('again-54')

  await portal.goto(`${ready.url}/r${host}/links`)
  await expect(portal.getByText('1 of 1')).toBeVisible()
  await expectAccessible(portal)
  await portal.getByRole('button', { name: /Take back the link/ }).click()
  const dialog = portal.getByRole('dialog')
  await expect(dialog.getByText('sessions that began with it end')).toBeVisible()
  await dialog.getByRole('button', { name: 'Take back', exact: true }).click()
  await expect(portal.getByText('There is no link through this host.')).toBeVisible()
  await expect(
    newcomer.getByText('You may not be here any more: a right was taken away, or its time is over.'),
  ).toBeVisible()
  await newcomer.goto(link)
  await expect(newcomer.getByRole('alert')).toContainText('not good')
})
