import { expect, type Page } from '@playwright/test'
import { expectAccessible, test } from './fixtures.ts'
import { ready } from './ready.ts'
import { type Language, setLanguage } from './signIn.ts'
import { AuthenticatorApp } from './totp.ts'

const words = {
  en: {
    add: 'Add a person',
    name: 'Display name',
    user: 'User name',
    review: 'Review the effect',
    make: 'Add and make the link',
    link: 'One-time sign-in link',
    done: 'Done',
    welcome: 'Welcome to Sekisho',
    withPassword: 'Password and code',
    password: 'Password',
    next: 'Next',
    scan: 'QR code for the authenticator app',
    key: 'Or enter this key',
    codeNow: 'Six-digit code',
    finish: 'Finish',
    notThisCode: 'The code is not right. Wait for the next one, and check the clock of your device.',
    keep: 'Keep your recovery codes',
    saved: 'I have saved these codes',
    open: 'Open Sekisho',
    noRole: 'You have no role yet.',
    signOut: 'Sign out',
    title: 'Sign in to Sekisho',
    byPassword: 'Use a password and a code',
    code: 'Code',
    signIn: 'Sign in',
    refused: 'User name, password or code is wrong.',
  },
  ja: {
    add: 'ユーザーを追加',
    name: '表示名',
    user: 'ユーザー名',
    review: '影響を確認',
    make: '追加してリンクを作成',
    link: '1 回限りのサインイン用リンク',
    done: '完了',
    welcome: 'Sekisho へようこそ',
    withPassword: 'パスワードとコード',
    password: 'パスワード',
    next: '次へ',
    scan: '認証アプリ用の QR コード',
    key: 'または次のキーを入力',
    codeNow: '6 桁のコード',
    finish: '完了',
    notThisCode: 'コードが正しくありません。次のコードを待ち、端末の時計も確認してください。',
    keep: '回復コードを保管してください',
    saved: 'コードを保管しました',
    open: 'Sekisho を開く',
    noRole: 'まだロールが割り当てられていません。',
    signOut: 'サインアウト',
    title: 'Sekisho にサインイン',
    byPassword: 'パスワードとコードを使用',
    code: 'コード',
    signIn: 'サインイン',
    refused: 'ユーザー名、パスワード、またはコードが正しくありません。',
  },
} as const

const password = 'harbour lantern quarry velvet 7'

/** The owner adds a person and reads the link that is shown once. */
async function invite(portal: Page, language: Language, name: string, user: string) {
  const w = words[language]
  await setLanguage(portal, language)
  await portal.goto(`${ready.url}/people`)
  await portal.getByRole('button', { name: w.add }).click()
  const panel = portal.getByRole('dialog')
  await panel.getByLabel(w.name).fill(name)
  await panel.getByLabel(w.user).fill(user)
  await panel.getByRole('button', { name: w.review }).click()
  await expectAccessible(portal)
  await panel.getByRole('button', { name: w.make }).click()
  const link = await panel.getByRole('region', { name: w.link }).innerText()
  await expectAccessible(portal)
  await panel.getByRole('button', { name: w.done, exact: true }).click()
  return link.trim()
}

for (const language of ['en', 'ja'] as const) {
  test(`somebody invited enrols with password and authenticator app, in ${language}`, async ({ portal, newcomer }) => {
    test.setTimeout(180_000)
    const w = words[language]
    const [name, user] = [`Newcomer ${language}`, `newcomer-${language}@example.com`]
    const link = await invite(portal, language, name, user)
    const heading = (text: string) => newcomer.getByRole('heading', { level: 1, name: text })
    const press = (text: string) => newcomer.getByRole('button', { name: text, exact: true }).click()

    await newcomer.addInitScript((locale) => localStorage.setItem('sekisho.locale', locale), language)
    await newcomer.goto(link)
    await expect(heading(w.welcome)).toBeVisible()
    expect(newcomer.url(), 'the token leaves the address bar at once').not.toContain('token')
    await expect(newcomer.getByLabel(w.user)).toHaveValue(user)
    await newcomer.getByText(w.withPassword, { exact: true }).click()
    await newcomer.getByRole('textbox', { name: w.password }).fill(password)
    await expectAccessible(newcomer)
    await press(w.next)

    await expect(newcomer.getByRole('img', { name: w.scan })).toBeVisible()
    const app = new AuthenticatorApp(await newcomer.getByText(w.key).locator('xpath=following-sibling::p').innerText())
    await newcomer.getByLabel(w.codeNow).fill(app.wrong())
    await press(w.finish)
    await expect(newcomer.getByRole('alert').getByText(w.notThisCode)).toBeVisible()
    await expectAccessible(newcomer)
    const first = await app.next()
    await newcomer.getByLabel(w.codeNow).fill(first)
    await press(w.finish)

    await expect(heading(w.keep)).toBeVisible()
    const codes = newcomer.getByRole('main').getByRole('list').getByRole('listitem')
    await expect(codes).toHaveCount(10)
    const recovery = await codes.first().innerText()
    await expectAccessible(newcomer)
    await newcomer.getByText(w.saved).click()
    await press(w.open)
    await expect(newcomer.getByText(w.noRole)).toBeVisible()
    await expectAccessible(newcomer)

    const signOut = async () => {
      await press(name)
      await newcomer.getByRole('menuitem', { name: w.signOut }).click()
      await expect(heading(w.title)).toBeVisible()
      await press(w.byPassword)
    }
    const answer = async (code: string) => {
      await newcomer.getByLabel(w.user).fill(user)
      await newcomer.getByRole('textbox', { name: w.password }).fill(password)
      await newcomer.getByRole('textbox', { name: w.code, exact: true }).fill(code)
      const answered = newcomer.waitForResponse((response) => response.url().endsWith('/auth/password'))
      await press(w.signIn)
      return (await answered).status()
    }
    const isRefused = async (code: string) => {
      expect(await answer(code)).toBe(401)
      await expect(newcomer.getByRole('alert').getByText(w.refused)).toBeVisible()
    }
    const isTaken = async (code: string) => {
      expect(await answer(code)).toBe(200)
      await expect(newcomer.getByText(w.noRole)).toBeVisible()
    }

    await test.step('a code is good once', async () => {
      await signOut()
      await isRefused(first)
      await expectAccessible(newcomer)
      const second = await app.next()
      await isTaken(second)
      await signOut()
      await isRefused(second)
    })
    await test.step('a recovery code is good once', async () => {
      await isTaken(recovery)
      await signOut()
      await isRefused(recovery)
    })
    await test.step('a wrong code is refused and the next right one is taken', async () => {
      await isRefused(app.wrong())
      await isTaken(await app.next())
    })
  })
}
