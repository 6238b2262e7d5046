import { expect, type Page } from '@playwright/test'
import { expectSame } from './canvas.ts'
import { password } from './display.ts'
import { expectAccessible, test } from './fixtures.ts'
import { reach } from './reach.ts'
import { ready } from './ready.ts'
import { send } from './send.ts'
import { enrol } from './signIn.ts'
import { startXvnc } from './xvnc.ts'

/** Somebody without a right signs in. */
async function invite(portal: Page, newcomer: Page, name: string) {
  const guest = { userPrincipalName: `${name}@example.com`, displayName: name }
  const { id: person } = await send(portal, 'POST', '/v1.0/users', guest)
  const { link: invitation = '' } = await send(portal, 'POST', `/v1.0/users/${person}/sekisho.invite`, {})
  await enrol(newcomer, invitation, 'harbour lantern quarry velvet 8')
}

async function goToLending(portal: Page, machine: string) {
  await portal.goto(`${ready.url}/r${machine}/connect`)
  await portal.getByRole('button', { name: /Bastion host/ }).click()
  await portal.getByRole('option', { name: /lending/ }).click()
}

/** The link that the panel makes. */
async function made(portal: Page) {
  await portal.getByRole('dialog').getByRole('button', { name: 'Review' }).click()
  await portal.getByRole('button', { name: 'Make the link' }).click()
  const link = (await portal.getByRole('region', { name: 'Link' }).innerText()).trim()
  expect(link).toMatch(/\/session\/link#[0-9a-f]{32}\.[\w-]+$/)
  await expectAccessible(portal)
  return link
}

test('a login is lent by a link to somebody without a right, and ends when the link is taken back', async ({
  portal,
  newcomer,
}) => {
  test.setTimeout(180_000)
  const properties = { enableShareableLink: true }
  const machine = await reach(portal, 1, { name: 'lending', sku: 'Standard', properties })
  const [group = ''] = machine.id.split('/providers/')
  const host = `${group}/providers/Microsoft.Network/bastionHosts/lending`
  await invite(portal, newcomer, 'guest')

  await goToLending(portal, machine.id)
  await portal.getByLabel('Account on the machine').fill('root')
  await portal.getByRole('button', { name: 'Make a link' }).click()
  const panel = portal.getByRole('dialog')
  await panel.getByText('For one session only').click()
  await expectAccessible(portal)
  const link = await made(portal)
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

test('a desktop is lent by a link, and shown to somebody without a right who knows its password', async ({
  portal,
  newcomer,
}) => {
  test.setTimeout(180_000)
  const properties = { enableShareableLink: true }
  const machine = await reach(portal, 1, { name: 'lending', sku: 'Standard', properties })
  await invite(portal, newcomer, 'visitor')
  await goToLending(portal, machine.id)
  await portal.getByRole('button', { name: 'Make a link' }).click()
  const panel = portal.getByRole('dialog')
  await panel.getByText('The desktop (VNC)').click()
  await expect(panel.getByLabel('Account on the machine')).toBeHidden()
  await expectAccessible(portal)
  const link = await made(portal)

  const display = await startXvnc(ready.machines[1]?.netns ?? '')
  try {
    display.showLine()
    await newcomer.goto(link)
    await expect(newcomer.getByText('The desktop (VNC)')).toBeVisible()
    await expectAccessible(newcomer)
    await newcomer.getByRole('button', { name: 'Log in' }).click()
    await newcomer.getByLabel('Password').fill(password)
    expect(newcomer.url(), 'the link leaves the address bar').not.toContain('#')
    await newcomer.getByRole('button', { name: 'Connect', exact: true }).click()
    const canvas = newcomer.locator('canvas[role=img]')
    await expect(newcomer.getByRole('button', { name: 'End', exact: true })).toBeVisible({ timeout: 60_000 })
    await canvas.hover({ position: { x: 100, y: 100 } })
    await expect.poll(display.reads).toBe(true)
    await expectSame(newcomer, display)
    await canvas.click({ position: { x: 100, y: 100 } })
    await newcomer.keyboard.type('lent\n')
    await expect.poll(() => display.line()).toBe('lent')

    const [group = ''] = machine.id.split('/providers/')
    await portal.goto(`${ready.url}/r${group}/providers/Microsoft.Network/bastionHosts/lending/links`)
    await portal.getByRole('button', { name: /Take back the link/ }).click()
    await portal.getByRole('dialog').getByRole('button', { name: 'Take back', exact: true }).click()
    await expect(
      newcomer.getByText('You may not be here any more: a right was taken away, or its time is over.'),
    ).toBeVisible()
  } finally {
    await display.stop()
  }
})
