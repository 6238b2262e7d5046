import { expect } from '@playwright/test'
import { test } from './fixtures.ts'
import { ready } from './ready.ts'
import { setLanguage } from './signIn.ts'

test('the activity log names programs as people call them, and the panel also by their id', async ({ portal }) => {
  await setLanguage(portal, 'en')
  // Of the demo's own program, which made the group that the machines are in.
  await portal.goto(`${ready.url}/audit?q=demo-nsg`)
  const row = portal.getByRole('table', { name: 'Activity' }).getByRole('row').nth(1)
  await expect(row.getByRole('cell', { name: 'demo', exact: true })).toBeVisible()
  await expect(row).not.toContainText(ready.servicePrincipal.appId)
  await row.getByRole('button').click()
  await expect(portal.getByRole('dialog').getByText(`demo (${ready.servicePrincipal.appId})`)).toBeVisible()
})

test('an entry is proved in the browser, and the page says how far machines witness the log', async ({ portal }) => {
  await setLanguage(portal, 'en')
  await portal.goto(`${ready.url}/audit?q=demo-nsg`)
  await expect(portal.getByText(/^Witnessed by \d+ of \d+ machines up to entry/)).toBeVisible()
  await portal.getByRole('table', { name: 'Activity' }).getByRole('row').nth(1).getByRole('button').click()
  await expect(portal.getByRole('dialog').getByText('Proved', { exact: true })).toBeVisible()
})
