import { expect, type Page } from '@playwright/test'
import { expectAccessible, test } from './fixtures.ts'
import { ready } from './ready.ts'
import { setLanguage } from './signIn.ts'

const eligible = (page: Page) => page.getByRole('region', { name: 'Eligible and timed' })

async function open(page: Page, path: string, heading: string) {
  await page.goto(`${ready.url}${path}`)
  await setLanguage(page, 'en')
  await expect(page.getByRole('heading', { level: 1, name: heading })).toBeVisible()
}

/** The lists come after the page, and with them the field is another one. */
async function choose(page: Page, field: string, text: string, option: RegExp) {
  await expect(async () => {
    await page.getByRole('combobox', { name: field }).fill(text)
    await page.getByRole('option', { name: option }).first().click({ timeout: 2_000 })
  }).toPass()
}

test('a role is made eligible, taken for an hour, given back and ended', async ({ portal }) => {
  await open(portal, '/rbac?tab=eligible', 'Access control (IAM)')
  await portal.getByRole('button', { name: 'Add a timed role' }).click()
  const panel = portal.getByRole('dialog', { name: 'Add a timed role' }).first()
  await choose(portal, 'Principal', 'Owner', /Owner/)
  await choose(portal, 'Role', 'Backup Operator', /^Backup Operator/)
  await panel.getByLabel('Justification').fill('Backups are looked at on Mondays')
  await panel.getByRole('button', { name: 'Review the effect' }).click()
  // Exactly what would be gained, and that it takes an activation.
  const rights = portal.getByRole('region', { name: 'Effect on rights' })
  await expect(rights.getByText('once activated').first()).toBeVisible()
  await expectAccessible(portal)
  await portal.getByRole('button', { name: /^Give .* Backup Operator$/ }).click()
  const row = eligible(portal).getByRole('row', { name: /Backup Operator/ })
  await expect(row.getByText('Eligible')).toBeVisible()

  await open(portal, '/my-roles', 'My roles')
  await portal.getByRole('button', { name: /^Activate: Backup Operator/ }).click()
  const dialog = portal.getByRole('dialog', { name: 'Activate Backup Operator' })
  await expect(dialog.getByText('It holds in this sign-in only')).toBeVisible()
  await expect(dialog.getByRole('button', { name: 'Activate', exact: true })).toBeDisabled()
  await dialog.getByLabel('Justification').fill('Look at the backups')
  await expectAccessible(portal)
  await dialog.getByRole('button', { name: 'Activate', exact: true }).click()
  const active = portal.getByRole('region', { name: 'Active now' })
  await expect(active.getByRole('row', { name: /Backup Operator/ })).toBeVisible()
  await active.getByRole('button', { name: /^Deactivate: Backup Operator/ }).click()
  await portal.getByRole('dialog').getByRole('button', { name: 'Deactivate', exact: true }).click()
  await expect(active).toBeHidden()
  await expect(portal.getByRole('region', { name: 'Your requests' }).getByText('Given back')).toBeVisible()

  await open(portal, '/rbac?tab=eligible', 'Access control (IAM)')
  await row.getByRole('button', { name: /^End: / }).click()
  await portal.getByRole('dialog').getByRole('button', { name: 'End', exact: true }).click()
  await expect(row).toBeHidden()
})

test('what an activation needs is set for a role and a scope', async ({ portal }) => {
  await open(portal, '/rbac?tab=eligible', 'Access control (IAM)')
  await portal.getByRole('button', { name: 'Add a timed role' }).click()
  await choose(portal, 'Principal', 'Owner', /Owner/)
  await choose(portal, 'Role', 'Security Reader', /^Security Reader/)
  await portal.getByLabel('Justification').fill('Settings')
  await portal.getByRole('button', { name: 'Review the effect' }).click()
  await portal.getByRole('button', { name: /^Give .* Security Reader$/ }).click()
  const row = eligible(portal).getByRole('row', { name: /Security Reader/ })
  await row.getByRole('button', { name: /^Settings: / }).click()
  const panel = portal.getByRole('dialog', { name: /^Activation of Security Reader/ }).first()
  await panel.getByText('A ticket', { exact: true }).click()
  await panel.getByLabel('What a ticket number looks like').fill('INC-[0-9]+')
  await panel.getByText('Somebody else must approve it').click()
  await expectAccessible(portal)
  await panel.getByRole('button', { name: 'Review the effect' }).click()
  await portal.getByRole('button', { name: 'Save the settings' }).click()
  await expect(panel).toBeHidden()

  await open(portal, '/my-roles', 'My roles')
  await portal.getByRole('button', { name: /^Activate: Security Reader/ }).click()
  const dialog = portal.getByRole('dialog', { name: 'Activate Security Reader' })
  await dialog.getByLabel('Justification').fill('Look')
  await dialog.getByLabel('Ticket number').fill('INC-7')
  await dialog.getByRole('button', { name: 'Ask for approval' }).click()
  const requests = portal.getByRole('region', { name: 'Your requests' })
  await expect(requests.getByText('Waits for approval')).toBeVisible()
  await requests.getByRole('button', { name: 'Take back' }).click()
  await portal.getByRole('dialog').getByRole('button', { name: 'Take back', exact: true }).click()
  await expect(requests.getByText('Taken back')).toBeVisible()

  await open(portal, '/rbac?tab=eligible', 'Access control (IAM)')
  await row.getByRole('button', { name: /^End: / }).click()
  await portal.getByRole('dialog').getByRole('button', { name: 'End', exact: true }).click()
  await expect(row).toBeHidden()
})
