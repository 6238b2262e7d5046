import { expect, type Page } from '@playwright/test'
import { expectAccessible, test } from './fixtures.ts'
import { ready } from './ready.ts'
import { answerSignInAgain, setLanguage } from './signIn.ts'

const group = `${ready.url}/r/subscriptions/${ready.subscriptionId}/resourceGroups/${ready.resourceGroup}/providers/Microsoft.Network/networkSecurityGroups/demo-nsg`
/** The browser's own words for it. */
const signedOut = /the server responded with a status of 401/

const question = (page: Page) => page.getByRole('alertdialog', { name: 'Leave without saving?' })
const editor = (page: Page) => page.getByRole('dialog', { name: 'Add an inbound security rule' })
const description = (page: Page) => editor(page).getByLabel('Description')

async function openEditor(page: Page) {
  await page.getByRole('button', { name: 'Add an inbound security rule' }).click()
  await expect(editor(page)).toBeVisible()
}

test('a form that was edited asks before it goes, however one leaves it', async ({ portal }) => {
  // From a page that Back leads to, within the portal.
  await portal.goto(`${ready.url}/nsg`)
  await setLanguage(portal, 'en')
  await portal.getByRole('link', { name: 'demo-nsg', exact: true }).click()
  await openEditor(portal)
  await description(portal).fill('not saved yet')
  await portal.keyboard.press('Escape')
  await expect(question(portal)).toBeVisible()
  await expectAccessible(portal)
  // Escape is an answer: to stay.
  await portal.keyboard.press('Escape')
  await expect(question(portal)).toBeHidden()
  await expect(description(portal)).toHaveValue('not saved yet')

  await editor(portal).getByRole('button', { name: 'Cancel' }).click()
  await question(portal).getByRole('button', { name: 'Keep editing' }).click()
  await editor(portal).getByRole('button', { name: 'Close' }).click()
  await question(portal).getByRole('button', { name: 'Keep editing' }).click()

  // The way to another page: the palette, and the browser's own Back.
  await portal.keyboard.press('Control+k')
  await portal.getByRole('searchbox').fill('Activity log')
  await portal.keyboard.press('Enter')
  await question(portal).getByRole('button', { name: 'Keep editing' }).click()
  await portal.evaluate(() => history.back())
  await expect(question(portal)).toBeVisible()
  await question(portal).getByRole('button', { name: 'Keep editing' }).click()
  await expect(description(portal)).toHaveValue('not saved yet')
  expect(portal.url()).toBe(group)

  // Closing the tab: the browser's own question.
  const asked = portal.waitForEvent('dialog').then((dialog) => dialog.dismiss().then(() => dialog.type()))
  await portal.close({ runBeforeUnload: true })
  expect(await asked).toBe('beforeunload')
  await expect(description(portal)).toHaveValue('not saved yet')

  await portal.evaluate(() => history.back())
  await question(portal).getByRole('button', { name: 'Discard and leave' }).click()
  await expect(portal.getByRole('heading', { level: 1, name: 'Network security groups' })).toBeVisible()
})

test('a form that was not edited, or was edited back, never asks', async ({ portal }) => {
  await portal.goto(group)
  await setLanguage(portal, 'en')
  await openEditor(portal)
  await portal.keyboard.press('Escape')
  await expect(editor(portal)).toBeHidden()
  await expect(question(portal)).toBeHidden()
  await portal.getByRole('button', { name: 'Add an inbound security rule' }).click()
  await description(portal).fill('x')
  await description(portal).fill('')
  await portal.keyboard.press('Escape')
  await expect(editor(portal)).toBeHidden()
  await expect(question(portal)).toBeHidden()
  // Nor does the tab.
  await portal.reload()
})

test('when the session ends over a form, signing in keeps it, and it is saved', async ({
  portal,
  expected,
  authenticator,
}) => {
  expected.push(signedOut)
  await portal.goto(`${ready.url}/people?tab=groups`)
  await setLanguage(portal, 'en')
  const name = `kept ${Date.now()}`
  await portal.getByRole('button', { name: 'Create a group' }).first().click()
  await portal.getByLabel('Display name').fill(name)
  await portal.getByRole('button', { name: 'Review the effect' }).click()
  const create = portal.getByRole('dialog').getByRole('button', { name: 'Create' })
  await expect(create).toBeVisible()

  await authenticator.setPresent(false)
  // Somebody ended it from elsewhere, and the page hears of it.
  await portal.evaluate(() =>
    fetch('/auth/signout', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' }),
  )
  await expect(portal.getByRole('dialog', { name: 'Sign in again' })).toBeVisible()
  await expectAccessible(portal)
  await authenticator.setPresent(true)
  await answerSignInAgain(portal)
  await expect(create).toBeVisible()
  await expect(portal.getByRole('alert')).toHaveCount(0)
  await create.click()
  await expect(portal.getByRole('dialog')).toHaveCount(0)
  await expect(portal.getByRole('button', { name })).toBeVisible()
})

test('a sign-in in another tab is enough', async ({ portal, expected, authenticator }) => {
  expected.push(signedOut)
  await portal.goto(`${ready.url}/people?tab=groups`)
  await setLanguage(portal, 'en')
  await portal.getByRole('button', { name: 'Create a group' }).first().click()
  await portal.getByLabel('Display name').fill('kept, too')
  await authenticator.setPresent(false)
  const { cookies } = await portal.context().storageState()
  await portal.context().clearCookies()
  const again = portal.getByRole('dialog', { name: 'Sign in again' })
  // What reads next finds the session gone; the form itself reads nothing.
  await portal.getByRole('button', { name: 'Review the effect' }).click()
  await expect(again).toBeVisible()
  await portal.context().addCookies(cookies)
  await expect(again).toBeHidden()
  await expect(portal.getByRole('dialog').getByRole('button', { name: 'Create' })).toBeVisible()
  await portal.keyboard.press('Escape')
  await expect(portal.getByLabel('Display name')).toHaveValue('kept, too')
  await portal.getByRole('button', { name: 'Cancel' }).click()
  await question(portal).getByRole('button', { name: 'Discard and leave' }).click()
})
