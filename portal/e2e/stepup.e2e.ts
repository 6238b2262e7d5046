import { expect } from '@playwright/test'
import { expectAccessible, test } from './fixtures.ts'
import { ready } from './ready.ts'
import { type Language, setLanguage } from './signIn.ts'

const words = {
  en: {
    add: 'Add a person',
    name: 'Display name',
    user: 'User name',
    review: 'Review the effect',
    make: 'Add and make the link',
    link: 'One-time sign-in link',
    confirm: 'Confirm with your passkey',
    why: 'You change how somebody else signs in, or whether they may.',
    cancel: 'Cancel',
    unconfirmed: 'This was not confirmed, so nothing has changed.',
  },
  ja: {
    add: 'ユーザーを追加',
    name: '表示名',
    user: 'ユーザー名',
    review: '影響を確認',
    make: '追加してリンクを作成',
    link: '1 回限りのサインイン用リンク',
    confirm: 'パスキーで確認',
    why: 'ほかのユーザーのサインイン方法、または可否を変更します。',
    cancel: 'キャンセル',
    unconfirmed: '確認されなかったため、何も変更していません。',
  },
} satisfies Record<Language, object>

for (const language of ['en', 'ja'] as const) {
  test(`what is dangerous waits for the passkey, and a form survives a no, in ${language}`, async ({
    portal,
    authenticator,
  }) => {
    const w = words[language]
    await portal.goto(`${ready.url}/people`)
    await setLanguage(portal, language)
    await portal.getByRole('button', { name: w.add }).click()
    const panel = portal.getByRole('dialog')
    await panel.getByLabel(w.name).fill(`Confirmed ${language}`)
    await panel.getByLabel(w.user).fill(`confirmed-${language}@example.com`)
    await panel.getByRole('button', { name: w.review }).click()

    await authenticator.setPresent(false)
    const question = portal.getByRole('alertdialog', { name: w.confirm })
    await panel.getByRole('button', { name: w.make }).click()
    await expect(question.getByText(w.why)).toBeVisible()
    await expectAccessible(portal)
    await question.getByRole('button', { name: w.cancel }).click()
    await expect(question).toBeHidden()
    await expect(panel.getByRole('alert').getByText(w.unconfirmed)).toBeVisible()

    await authenticator.setPresent(true)
    await panel.getByRole('button', { name: w.make }).click()
    await expect(panel.getByRole('region', { name: w.link })).toBeVisible()
    await expect(question).toBeHidden()
  })
}
