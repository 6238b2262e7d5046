import { chromium, expect, type Page } from '@playwright/test'
import { how } from './fixtures.ts'
import { ready } from './ready.ts'

/** Another browser in which the same person is signed in, for whom the sessions of everybody are there. */
export async function elsewhere(portal: Page, work: (page: Page) => Promise<void>) {
  const browser = await chromium.launch(how)
  try {
    const storageState = await portal.context().storageState()
    const context = await browser.newContext({ storageState, locale: 'en-US' })
    await work(await context.newPage())
  } finally {
    await browser.close()
  }
}

/** Something that can be done with the newest session of somebody that is open. */
export async function choose(page: Page, action: string, whose: RegExp) {
  await page.goto(`${ready.url}/sessions`)
  const newest = page.getByRole('button', { name: whose }).first()
  await newest.click()
  await page.getByRole('menuitem', { name: action, exact: true }).click()
}

export async function look(page: Page, action: string, whose: RegExp) {
  const [session] = await Promise.all([page.context().waitForEvent('page'), choose(page, action, whose)])
  await session.waitForLoadState()
  return session
}

export async function end(page: Page, whose: RegExp) {
  await choose(page, 'End', whose)
  await page.getByRole('dialog').getByRole('button', { name: 'End', exact: true }).click()
  await expect(page.getByText('The session has ended.')).toBeVisible()
}
