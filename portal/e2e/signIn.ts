import { expect, type Page } from '@playwright/test'
import { ready } from './ready.ts'
import { AuthenticatorApp } from './totp.ts'

export type Language = 'en' | 'ja'

export async function setLanguage(page: Page, language: Language) {
  await page.evaluate((locale) => localStorage.setItem('sekisho.locale', locale), language)
  await page.reload()
  await expect(page.locator('html')).toHaveAttribute('lang', language)
}

const heading = (page: Page, name: string) => page.getByRole('heading', { level: 1, name })

/** First run, as the owner lives it: the printed link, a passkey, the recovery codes. */
export async function setUp(page: Page) {
  await page.goto(ready.signInLink)
  await setUpLanguage(page)
  await expect(heading(page, 'Set up Sekisho')).toBeVisible()
  expect(page.url(), 'the token leaves the address bar at once').not.toContain('token')

  await page.getByLabel('User name').fill('owner@example.com')
  await page.getByLabel('Display name').fill('Owner')
  await page.getByRole('button', { name: 'Create a passkey' }).click()

  await expect(heading(page, 'Keep your recovery codes')).toBeVisible()
  await expect(page.getByRole('main').getByRole('list').getByRole('listitem')).toHaveCount(10)
  const open = page.getByRole('button', { name: 'Open Sekisho' })
  await expect(open).toBeDisabled()
  await page.getByText('I have saved these codes').click()
  await open.click()
  await expect(heading(page, 'Overview')).toBeVisible()
}

/** A reload would lose the token, so the language is switched in the page. */
async function setUpLanguage(page: Page) {
  await page.getByRole('button', { name: 'English' }).click()
  await expect(page.locator('html')).toHaveAttribute('lang', 'en')
}

export async function signIn(page: Page) {
  await page.goto(`${ready.url}/signin`)
  await answerSignIn(page)
}

/** On the sign-in page. The browser may answer its request by itself; then there is no button left to press. */
export async function answerSignIn(page: Page) {
  const button = page.getByRole('button', { name: /Sign in with a passkey|パスキーでサインイン/ })
  const shell = page.getByRole('navigation', { name: /Main|メイン/ })
  const byItself = await shell.waitFor({ timeout: 3_000 }).then(
    () => true,
    () => false,
  )
  if (!byItself) await button.click()
  await expect(shell).toBeVisible()
}

/** Somebody invited, with a password and an authenticator app: signed in afterwards. In English. */
export async function enrol(page: Page, link: string, password: string) {
  await page.addInitScript(() => localStorage.setItem('sekisho.locale', 'en'))
  await page.goto(link)
  await page.getByText('Password and code', { exact: true }).click()
  await page.getByRole('textbox', { name: 'Password' }).fill(password)
  await page.getByRole('button', { name: 'Next' }).click()
  const key = page.getByText('Or enter this key').locator('xpath=following-sibling::p')
  const app = new AuthenticatorApp(await key.innerText())
  await page.getByLabel('Six-digit code').fill(await app.next())
  await page.getByRole('button', { name: 'Finish' }).click()
  await expect(heading(page, 'Keep your recovery codes')).toBeVisible()
}

/** In the dialog over a page whose session has ended. */
export async function answerSignInAgain(page: Page) {
  const dialog = page.getByRole('dialog', { name: 'Sign in again' })
  const byItself = await dialog.waitFor({ state: 'hidden', timeout: 3_000 }).then(
    () => true,
    () => false,
  )
  if (!byItself) await dialog.getByRole('button', { name: 'Sign in with a passkey' }).click()
  await expect(dialog).toBeHidden()
}

/** Whatever state the browser is in: afterwards somebody is signed in. */
export async function ensureSignedIn(page: Page) {
  await page.goto(ready.url)
  const state = await page.evaluate(async () => {
    const session = await fetch('/auth/session')
    if (session.ok) return 'signedIn'
    const { firstRun } = (await (await fetch('/auth/state')).json()) as { firstRun: boolean }
    return firstRun ? 'firstRun' : 'signedOut'
  })
  if (state === 'firstRun') await setUp(page)
  if (state === 'signedOut') await signIn(page)
}
