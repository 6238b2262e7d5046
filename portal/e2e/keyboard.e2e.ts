import { expect, type Locator, type Page } from '@playwright/test'
import { test } from './fixtures.ts'
import { ready } from './ready.ts'
import { setLanguage } from './signIn.ts'

/** Tab until something has the focus, which must then be seen: by an outline, or by the frame of the field it is in. */
async function tabTo(page: Page, target: Locator) {
  await expect(target).toBeVisible()
  for (let presses = 0; presses < 80; presses += 1) {
    if (await target.evaluate((element) => element === document.activeElement)) {
      const seen = await target.evaluate((element) =>
        [element, element.parentElement, element.parentElement?.parentElement].some((at) => {
          const style = at && getComputedStyle(at)
          return style && (style.outlineStyle !== 'none' || style.boxShadow !== 'none')
        }),
      )
      expect(seen, `the focus on ${target} is seen`).toBe(true)
      return
    }
    await page.keyboard.press('Tab')
  }
  throw new Error(`${target} is not reached by Tab`)
}

async function press(page: Page, target: Locator) {
  await tabTo(page, target)
  await page.keyboard.press('Enter')
}

async function type(page: Page, target: Locator, text: string) {
  await tabTo(page, target)
  await page.keyboard.press('Control+a')
  await page.keyboard.type(text)
}

/** Passkeys that the browser offers by itself would sign in before anybody pressed anything. */
async function withoutOffer(page: Page) {
  await page.addInitScript(() => {
    if (sessionStorage.getItem('e2e.withoutOffer'))
      PublicKeyCredential.isConditionalMediationAvailable = () => Promise.resolve(false)
  })
  await page.evaluate(() => sessionStorage.setItem('e2e.withoutOffer', '1'))
}

test('from signing in to a rule that machines obey, with the keyboard alone', async ({ portal, expected }) => {
  test.setTimeout(180_000)
  expected.push(/status of 401/)
  const [machine] = ready.machines
  if (!machine) throw new Error('the demo has no machine')
  const [button, link] = [
    (name: string | RegExp) => portal.getByRole('button', { name, exact: typeof name === 'string' }),
    (name: string) => portal.getByRole('link', { name, exact: true }),
  ]
  const heading = (name: string) => portal.getByRole('heading', { level: 1, name })
  const rule = `keyboard-${Date.now()}`
  await setLanguage(portal, 'en')
  await withoutOffer(portal)
  await portal.evaluate(() =>
    fetch('/auth/signout', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' }),
  )
  await portal.goto(`${ready.url}/signin`)
  await press(portal, button('Sign in with a passkey'))
  await expect(heading('Overview')).toBeVisible()

  await portal.keyboard.press('g')
  await portal.keyboard.press('m')
  await expect(heading('Machines')).toBeVisible()
  const grid = portal.getByRole('grid', { name: 'Machines' })
  await expect(grid.getByRole('link', { name: machine.name, exact: true })).toBeVisible()
  await portal.keyboard.press('/')
  await expect(portal.getByRole('searchbox', { name: /^Filter by name/ })).toBeFocused()
  await portal.keyboard.type(machine.name)
  await expect(portal.getByText(/^1 of \d+ machines$/)).toBeVisible()
  await press(portal, grid)
  await expect(heading(machine.name)).toBeVisible()
  await press(portal, link('Networking'))
  await press(portal, link('demo-nsg').first())
  await expect(heading('demo-nsg')).toBeVisible()

  const add = button('Add an inbound security rule')
  await press(portal, add)
  await type(portal, portal.getByLabel('Source addresses'), '192.0.2.0/24')
  await type(portal, portal.getByLabel('Destination port ranges'), '2023')
  await type(portal, portal.getByLabel('Name', { exact: true }), rule)
  await press(portal, button('Review the effect'))
  await press(portal, button(`Apply to ${ready.machines.length} machines`))
  await expect(portal.getByRole('dialog')).toHaveCount(0)
  await expect(add, 'the focus is where it was').toBeFocused()

  const tray = button(/^Operations/)
  await press(portal, tray)
  const all = ready.machines.length
  await expect(portal.getByText(new RegExp(`^${all} of ${all} machines obey`)).first()).toBeVisible()
  await portal.keyboard.press('Escape')
  await expect(tray).toBeFocused()

  await portal.keyboard.press('?')
  const help = portal.getByRole('dialog', { name: 'Keyboard shortcuts' })
  await expect(help.getByText('Filter this page')).toBeVisible()
  await portal.keyboard.press('Escape')
  await expect(help).toBeHidden()

  await press(portal, button(`Delete rule ${rule}`))
  await press(portal, button(`Delete and apply to ${all} machines`))
  await expect(button(rule)).toBeHidden()
  // The button that had the focus is gone; Tab goes on in the content, not at the top of the page.
  await expect.poll(() => portal.evaluate(() => document.activeElement?.id)).toBe('main')
  await portal.evaluate(() => sessionStorage.removeItem('e2e.withoutOffer'))
})

test('shortcuts of single letters leave fields alone and can be switched off', async ({ portal }) => {
  await portal.goto(`${ready.url}/nsg`)
  await setLanguage(portal, 'en')
  const search = portal.getByRole('searchbox', { name: 'Filter by name or resource group' })
  await search.fill('')
  await search.press('?')
  await search.press('g')
  await search.press('m')
  await expect(search).toHaveValue('?gm')
  await search.fill('')
  await search.blur()
  await portal.keyboard.press('?')
  await portal.getByText('Shortcuts of single letters').click()
  await portal.keyboard.press('Escape')
  await expect(portal.getByRole('dialog')).toHaveCount(0)
  await portal.keyboard.press('?')
  await portal.keyboard.press('g')
  await portal.keyboard.press('m')
  await expect(portal.getByRole('dialog')).toHaveCount(0)
  await expect(portal.getByRole('heading', { level: 1, name: 'Network security groups' })).toBeVisible()
  await portal.evaluate(() => localStorage.removeItem('sekisho.shortcuts'))
})
