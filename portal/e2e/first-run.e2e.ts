import { expect } from '@playwright/test'
import { expectAccessible, test } from './fixtures.ts'
import { ready } from './ready.ts'
import { answerSignIn, setLanguage } from './signIn.ts'

test('the owner signs out and in again with the passkey of the first run', async ({ portal }) => {
  await setLanguage(portal, 'en')
  await portal.getByRole('button', { name: 'Owner' }).click()
  const signInPage = portal.waitForEvent('load')
  await portal.getByRole('menuitem', { name: 'Sign out' }).click()
  await signInPage
  await answerSignIn(portal)

  await portal.goto(`${ready.url}/sign-ins`)
  await expect(portal.getByRole('table', { name: 'Sessions' }).getByText('this session')).toBeVisible()
  await expect(portal.getByRole('table', { name: 'Ways to sign in' }).getByText('10 left')).toBeVisible()
})

test('a used link says so', async ({ portal }) => {
  await portal.goto('about:blank')
  const refused = portal.waitForResponse((response) => response.url().endsWith('/auth/setup/inspect'))
  await portal.goto(`${ready.url}/setup#token=not-a-token`)
  expect((await refused).status()).toBe(400)
  await expect(portal.getByRole('alert').getByText('InvalidLink')).toBeVisible()
  await expectAccessible(portal)
})
