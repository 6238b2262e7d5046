import { expect, type Page } from '@playwright/test'
import { expectAccessible, test } from './fixtures.ts'
import { ready } from './ready.ts'
import { setLanguage } from './signIn.ts'

const group = `${ready.url}/r/subscriptions/${ready.subscriptionId}/resourceGroups/${ready.resourceGroup}/providers/Microsoft.Network/networkSecurityGroups/demo-nsg`
const count = ready.machines.length
const rule = 'operations-e2e'

const openTray = async (page: Page) => {
  await page.getByRole('button', { name: /^Operations/ }).click()
  await expect(page.getByRole('dialog', { name: 'Operations' })).toBeVisible()
}
const entries = (page: Page) => page.getByRole('list', { name: 'Operations' }).locator('> li')

async function addRule(page: Page) {
  await page.goto(group)
  await setLanguage(page, 'en')
  await page.getByRole('button', { name: 'Add an inbound security rule' }).click()
  await page.getByLabel('Source addresses').fill('192.0.2.0/24')
  await page.getByLabel('Destination port ranges').fill('2022')
  await page.getByLabel('Name', { exact: true }).fill(rule)
  await page.getByRole('button', { name: 'Review the effect' }).click()
  return page.getByRole('dialog').getByRole('button', { name: `Apply to ${count} machines` })
}

async function removeRule(page: Page) {
  await page.goto(group)
  await page.getByRole('button', { name: `Delete rule ${rule}` }).click()
  await page
    .getByRole('dialog')
    .getByRole('button', { name: /^Delete and apply/ })
    .click()
  await expect(page.getByRole('button', { name: rule, exact: true })).toBeHidden()
}

test('the tray says how many machines obey a change, also after a reload', async ({ portal }) => {
  const apply = await addRule(portal)
  await apply.click()
  await openTray(portal)
  const [entry] = [entries(portal).first()]
  await expect(entry.getByText('Create or update security rule')).toBeVisible()
  await expect(entry.getByRole('progressbar')).toBeVisible()
  await expectAccessible(portal)
  await portal.reload()
  await openTray(portal)
  await expect(entry.getByText(new RegExp(`^${count} of ${count} machines obey`))).toBeVisible()
  await expect(entry.getByText('Done', { exact: true })).toBeVisible()
  await expect(portal.locator('[aria-live=polite]', { hasText: `${rule}: done` })).toHaveCount(1)
  await entry.getByRole('link', { name: rule }).click()
  await expect(portal.getByRole('heading', { level: 1, name: 'demo-nsg' })).toBeVisible()
  await removeRule(portal)
})

test('what was refused stays in the tray, with its code and request id', async ({ portal, expected }) => {
  expected.push(/the server responded with a status of 400/)
  await portal.goto(`${ready.url}/people?tab=groups`)
  await setLanguage(portal, 'en')
  const name = `refused ${Date.now()}`
  await portal.getByRole('button', { name: 'Create a group' }).first().click()
  await portal.getByLabel('Display name').fill(name)
  await portal.getByRole('button', { name: 'Review the effect' }).click()
  const create = portal.getByRole('dialog').getByRole('button', { name: 'Create' })
  await expect(create).toBeVisible()
  // The request goes out as reviewed and is spoilt on its way, so that the real server refuses it.
  await portal.route('**/v1.0/groups', (route) => route.continue({ postData: '{"displayName":""}' }))
  await create.click()
  await expect(portal.getByRole('alert').getByText('Request_BadRequest')).toBeVisible()
  await portal.unroute('**/v1.0/groups')
  await portal.keyboard.press('Escape')
  await expect(portal.getByRole('button', { name: 'Review the effect' })).toBeFocused()
  await portal.keyboard.press('Escape')
  await portal.getByRole('alertdialog').getByRole('button', { name: 'Discard and leave' }).click()

  await openTray(portal)
  const entry = entries(portal).first()
  await expect(entry.getByText('Failed', { exact: true })).toBeVisible()
  await expect(entry.getByText('Request_BadRequest')).toBeVisible()
  await expect(entry.getByText(/^Request id \S+/)).toBeVisible()
  await expectAccessible(portal)
  await portal.getByRole('button', { name: 'Clear ended ones' }).click()
  await expect(portal.getByText('Nothing has been changed from this tab yet.')).toBeVisible()
})
