import { expect, type Page } from '@playwright/test'
import { Authenticator } from './authenticator.ts'
import { expectAccessible, test } from './fixtures.ts'
import { ready } from './ready.ts'
import { send } from './send.ts'
import { answerSignIn, enrol, setLanguage } from './signIn.ts'

const policies = (page: Page) => page.getByRole('region', { name: 'Policies' })
const panel = (page: Page, name: string) => page.getByRole('dialog', { name })

async function open(page: Page, tab = '') {
  await page.goto(`${ready.url}/conditional-access${tab}`)
  await setLanguage(page, 'en')
  await expect(page.getByRole('heading', { level: 1, name: 'Conditional access' })).toBeVisible()
}

test('a policy is tried on the past, reviewed, in force, and gone again', async ({ portal, expected }) => {
  await open(portal)
  await expect(policies(portal).getByRole('button', { name: 'Second factor for everyone', exact: true })).toBeVisible()
  await portal.getByRole('button', { name: 'New policy' }).click()
  const editor = panel(portal, 'New policy').first()
  await editor.getByLabel('Name').fill('Nobody on the bastion')
  await editor.getByRole('radiogroup', { name: 'State' }).getByText('On', { exact: true }).click()
  await editor.getByRole('radiogroup', { name: 'Grant' }).getByText('Block').click()

  // As it is now it would keep everybody out, and the server says whom.
  await editor.getByRole('button', { name: 'Try on the last 7 days' }).click()
  await expect(editor.getByRole('region', { name: 'On the last 7 days' }).getByText('blocked').first()).toBeVisible()
  await expectAccessible(portal)
  expected.push(/status of 409 .*policies/)
  await editor.getByRole('button', { name: 'Review' }).click()
  const refused = portal.getByRole('alert').filter({ hasText: 'lock every administrator out' })
  await expect(refused).toContainText('owner@example.com')
  await portal.keyboard.press('Escape')

  await editor.getByRole('button', { name: /Application/ }).click()
  await portal.getByRole('option', { name: 'Bastion' }).click()
  await editor.getByRole('button', { name: 'Try on the last 7 days' }).click()
  await expect(editor.getByText('Nobody would have been stopped.')).toBeVisible()
  await editor.getByRole('button', { name: 'Review' }).click()
  await portal.getByRole('button', { name: 'Save the policy' }).click()
  const row = policies(portal).getByRole('row', { name: /Nobody on the bastion/ })
  await expect(row.getByText('On', { exact: true })).toBeVisible()

  await row.getByRole('button', { name: 'Nobody on the bastion', exact: true }).click()
  const again = panel(portal, 'Policy Nobody on the bastion').first()
  await expect(again.getByLabel('Name')).toHaveValue('Nobody on the bastion')
  await expect(again.getByRole('button', { name: /Application/ })).toContainText('Bastion')
  await portal.keyboard.press('Escape')

  await row.getByRole('button', { name: 'Remove Nobody on the bastion' }).click()
  await portal.getByRole('alertdialog').or(portal.getByRole('dialog')).getByRole('button', { name: 'Remove' }).click()
  await expect(row).toBeHidden()
})

test('What If says which policies would apply, and why others would not', async ({ portal }) => {
  await open(portal, '?tab=whatIf')
  // The people come after the page, and with them the field is another one.
  await expect(async () => {
    await portal.getByRole('combobox', { name: 'Person' }).fill('Owner')
    await portal.getByRole('option', { name: /Owner/ }).first().click({ timeout: 1_000 })
  }).toPass()
  await portal.getByRole('button', { name: 'Evaluate' }).click()
  const row = (name: string) => policies(portal).getByRole('row', { name: new RegExp(name) })
  await expect(row('Passkey for privileged roles').getByText('applies', { exact: true })).toBeVisible()
  await expect(row('Second factor for everyone').getByText('applies', { exact: true })).toBeVisible()
  await expectAccessible(portal)
})

test('whoever becomes privileged is asked for a passkey, makes one, and is in', async ({ portal, newcomer }) => {
  test.setTimeout(120_000)
  await open(portal)
  const password = 'harbour lantern quarry velvet 9'
  const user = 'promoted@example.com'
  const person = await send(portal, 'POST', '/v1.0/users', { userPrincipalName: user, displayName: 'Promoted' })
  const { link = '' } = await send(portal, 'POST', `/v1.0/users/${person.id}/sekisho.invite`, {})

  await enrol(newcomer, link, password)
  const owner = '8e3af657-a8ff-443c-a75c-2fe8c4bcb635'
  await send(
    portal,
    'PUT',
    `/providers/Microsoft.Authorization/roleAssignments/${crypto.randomUUID()}?api-version=2022-04-01`,
    {
      properties: {
        roleDefinitionId: `/providers/Microsoft.Authorization/roleDefinitions/${owner}`,
        principalId: person.id,
        principalType: 'User',
      },
    },
  )

  const passkeys = await Authenticator.plugIn(newcomer, [])
  await newcomer.goto(ready.url)
  await expect(newcomer.getByRole('heading', { level: 1, name: 'One more proof' })).toBeVisible()
  await expect(newcomer.getByText('By conditional access: Passkey for privileged roles')).toBeVisible()
  await expectAccessible(newcomer)
  await newcomer.getByRole('button', { name: 'Create a passkey' }).click()
  await newcomer.getByLabel('Name').fill('Laptop')
  await newcomer.getByRole('button', { name: 'Review' }).click()
  await newcomer.getByRole('button', { name: 'Create the passkey' }).click()
  await answerSignIn(newcomer)
  await expect(newcomer.getByRole('heading', { level: 1, name: 'Overview' })).toBeVisible()
  await passkeys.setPresent(true)
})
