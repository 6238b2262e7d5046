import { expect } from '@playwright/test'
import { expectAccessible, test } from './fixtures.ts'
import { ready } from './ready.ts'
import { setLanguage } from './signIn.ts'

test('without a server the page stays, says since when it is old, saves nothing, and recovers by itself', async ({
  portal,
  expected,
}) => {
  expected.push(/net::ERR_/)
  const [machine] = ready.machines
  if (!machine) throw new Error('the demo has no machine')
  await portal.goto(`${ready.url}/people?tab=groups`)
  await setLanguage(portal, 'en')
  const name = `after the storm ${Date.now()}`
  await portal.getByRole('button', { name: 'Create a group' }).first().click()
  await portal.getByLabel('Display name').fill(name)
  await portal.getByRole('button', { name: 'Review the effect' }).click()
  const create = portal.getByRole('dialog').getByRole('button', { name: 'Create' })
  await expect(create).toBeEnabled()

  await portal.context().setOffline(true)
  await expect(
    portal.getByRole('dialog').getByText(/^The server cannot be reached; nothing can be saved/),
  ).toBeVisible()
  await expect(create).toBeDisabled()
  await portal.context().setOffline(false)
  await expect(create).toBeEnabled()
  await create.click()
  await expect(portal.getByRole('button', { name })).toBeVisible()

  // A page that is only read keeps what it shows; the way to another page tells what is wrong and that it can be retried.
  await portal.goto(`${ready.url}/machines`)
  const row = portal.getByRole('link', { name: machine.name, exact: true })
  const bar = portal.getByRole('status').getByText(/^The server cannot be reached. What you see is from /)
  await expect(portal.getByText(/^Live/)).toBeVisible()
  await expect(row).toBeVisible()
  await portal.context().setOffline(true)
  await expect(bar).toBeVisible()
  await expect(portal.getByText(/^No connection/)).toBeVisible()
  await expect(row).toBeVisible()
  await expectAccessible(portal)
  await portal.context().setOffline(false)
  await expect(bar).toBeHidden()
  await expect(portal.getByText(/^Live/)).toBeVisible()
})
