import { expect } from '@playwright/test'
import { expectAccessible, test } from './fixtures.ts'
import { ready } from './ready.ts'
import { setLanguage } from './signIn.ts'
import { AuthenticatorApp } from './totp.ts'

const words = {
  en: {
    add: 'Add a person',
    name: 'Display name',
    user: 'User name',
    review: 'Review the effect',
    make: 'Add and make the link',
    done: 'Done',
    actions: (name: string) => `Actions for ${name}`,
    give: 'Give a temporary access pass',
    makePass: 'Make the pass',
    pass: 'Temporary access pass',
    usePass: 'Use a temporary access pass',
    goOn: 'Go on',
    reset: 'Set a new sign-in',
    withPassword: 'Password and code',
    password: 'Password',
    next: 'Next',
    key: 'Or enter this key',
    code: 'Six-digit code',
    finish: 'Finish',
    saved: 'I have saved these codes',
    open: 'Open Sekisho',
    issued: /made a temporary access pass for your account/,
    seen: 'I have seen this',
    everyone: 'Sign-ins of everyone',
    filter: 'Filter',
    endAll: 'Sign out everywhere',
    signIn: 'Sign in to Sekisho',
    noOne: 'No one matches.',
    compromised: 'Someone else has this account',
    atRisk: 'At risk: Confirmed by an administrator',
    dismiss: 'Dismiss the risk',
  },
  ja: {
    add: 'ユーザーを追加',
    name: '表示名',
    user: 'ユーザー名',
    review: '影響を確認',
    make: '追加してリンクを作成',
    done: '完了',
    actions: (name: string) => `${name} の操作`,
    give: '一時アクセス パスを発行',
    makePass: 'パスを作成',
    pass: '一時アクセス パス',
    usePass: '一時アクセス パスを使用',
    goOn: '続行',
    reset: 'サインイン方法の再設定',
    withPassword: 'パスワードとコード',
    password: 'パスワード',
    next: '次へ',
    key: 'または次のキーを入力',
    code: '6 桁のコード',
    finish: '完了',
    saved: 'コードを保管しました',
    open: 'Sekisho を開く',
    issued: /あなたの一時アクセス パスを作成しました/,
    seen: '確認しました',
    everyone: '全員のサインイン',
    filter: '絞り込み',
    endAll: 'すべてからサインアウト',
    signIn: 'Sekisho にサインイン',
    noOne: '一致するものはありません。',
    compromised: '侵害を確認',
    atRisk: '侵害の疑い: 管理者が確認しました',
    dismiss: 'リスクを無視',
  },
}

for (const language of ['en', 'ja'] as const) {
  test(`a pass lets somebody in, who is told of it and can be signed out, in ${language}`, async ({
    portal,
    newcomer,
  }) => {
    test.setTimeout(120_000)
    const w = words[language]
    const [name, user] = [`Passed ${language}`, `passed-${language}@example.com`]
    await portal.goto(`${ready.url}/people`)
    await setLanguage(portal, language)
    const panel = portal.getByRole('dialog')
    await portal.getByRole('button', { name: w.add }).click()
    await panel.getByLabel(w.name).fill(name)
    await panel.getByLabel(w.user).fill(user)
    await panel.getByRole('button', { name: w.review }).click()
    await panel.getByRole('button', { name: w.make }).click()
    await panel.getByRole('button', { name: w.done, exact: true }).click()

    await portal.getByRole('button', { name: w.actions(name) }).click()
    await portal.getByRole('menuitem', { name: w.give }).click()
    await panel.getByRole('button', { name: w.review }).click()
    await expectAccessible(portal)
    await panel.getByRole('button', { name: w.makePass }).click()
    const pass = (await panel.getByRole('region', { name: w.pass }).innerText()).trim()
    await expectAccessible(portal)
    await panel.getByRole('button', { name: w.done, exact: true }).click()

    const press = (text: string) => newcomer.getByRole('button', { name: text, exact: true }).click()
    const heading = (text: string) => newcomer.getByRole('heading', { level: 1, name: text })
    await newcomer.addInitScript((locale) => localStorage.setItem('sekisho.locale', locale), language)
    await newcomer.goto(`${ready.url}/signin`)
    await press(w.usePass)
    await newcomer.getByLabel(w.user).fill(user)
    await newcomer.getByLabel(w.pass).fill(pass.toUpperCase())
    await expectAccessible(newcomer)
    await press(w.goOn)
    await expect(heading(w.reset)).toBeVisible()
    await newcomer.getByText(w.withPassword, { exact: true }).click()
    await newcomer.getByRole('textbox', { name: w.password }).fill('harbour lantern quarry velvet 7')
    await press(w.next)
    const app = new AuthenticatorApp(await newcomer.getByText(w.key).locator('xpath=following-sibling::p').innerText())
    await newcomer.getByLabel(w.code).fill(await app.next())
    await press(w.finish)
    await newcomer.getByText(w.saved).click()
    await press(w.open)

    const told = newcomer.getByText(w.issued)
    await expect(told).toBeVisible()
    await expectAccessible(newcomer)
    const away = newcomer.getByRole('button', { name: w.seen })
    await expect(away).toHaveCount(2)
    await away.first().click()
    await expect(away).toHaveCount(1)
    await away.first().click()
    await expect(told).toBeHidden()
    // So that nothing of this page asks when the session is gone.
    await newcomer.goto(`${ready.url}/signin`)

    await portal.goto(`${ready.url}/everyone`)
    await expect(portal.getByRole('heading', { level: 1, name: w.everyone })).toBeVisible()
    await portal.getByRole('searchbox', { name: w.filter }).fill(user)
    await portal.getByRole('button', { name: new RegExp(name) }).click()
    await portal.getByRole('menuitem', { name: w.endAll }).click()
    await panel.getByRole('button', { name: w.endAll }).click()
    await expect(portal.getByText(w.noOne)).toBeVisible()
    await newcomer.goto(ready.url)
    await expect(heading(w.signIn)).toBeVisible()

    await portal.goto(`${ready.url}/people`)
    const row = portal.getByRole('row').filter({ hasText: user })
    for (const [action, risky] of [
      [w.compromised, true],
      [w.dismiss, false],
    ] as const) {
      await portal.getByRole('button', { name: w.actions(name) }).click()
      await portal.getByRole('menuitem', { name: action }).click()
      await panel.getByRole('button', { name: action }).click()
      await expect(row.getByText(w.atRisk)).toBeVisible({ visible: risky })
    }
  })
}
