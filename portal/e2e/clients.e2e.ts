import { expect, type Page } from '@playwright/test'
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expectAccessible, test } from './fixtures.ts'
import { ready } from './ready.ts'
import { setLanguage } from './signIn.ts'

const client = '04b07795-8ddb-461a-bbee-02f9e1bf7b46'
const scope = `${ready.url}//.default offline_access openid profile`
const verifier = 'a-verifier-of-more-than-forty-three-characters'

/** Asks as a client of OAuth does; the answer, whatever it is. */
const ask = (page: Page, endpoint: string, fields: Record<string, string>) =>
  page.evaluate(
    async ([url, body]) => {
      const response = await fetch(url, { method: 'POST', body: new URLSearchParams(body) })
      return (await response.json()) as Record<string, string>
    },
    [`/organizations/oauth2/v2.0/${endpoint}`, fields] as const,
  )

const words = {
  en: {
    code: 'Code',
    next: 'Next',
    asks: 'Azure CLI asks to act as you',
    phishing: 'Did somebody send you this code',
    allow: 'Allow',
    allowed: 'Allowed',
    signIn: 'Sign in to go on',
    end: 'End: Azure CLI',
    confirm: 'End',
    none: 'None acts as you.',
  },
  ja: {
    code: 'コード',
    next: '次へ',
    asks: 'Azure CLI があなたとしての操作を求めています',
    phishing: 'このコードをメール、チャット、電話で受け取りましたか?',
    allow: '許可',
    allowed: '許可しました',
    signIn: '続行するにはサインイン',
    end: '終了: Azure CLI',
    confirm: '終了',
    none: 'あなたとして動作しているものはありません。',
  },
} as const

for (const language of ['en', 'ja'] as const) {
  const w = words[language]

  test(`a code that a command shows is typed, seen and allowed, and ended again (${language})`, async ({ portal }) => {
    await setLanguage(portal, language)
    const begun = await ask(portal, 'devicecode', { client_id: client, scope })
    await portal.goto(`${ready.url}/devicelogin`)
    await portal.getByLabel(w.code).fill(begun['user_code']?.toLowerCase() ?? '')
    await expect(portal.getByText(w.phishing)).toBeVisible()
    await expectAccessible(portal)
    await portal.getByRole('button', { name: w.next }).click()
    await expect(portal.getByRole('heading', { name: w.asks })).toBeVisible()
    await expect(portal.getByText(w.phishing)).toBeVisible()
    await expectAccessible(portal)
    await portal.getByRole('button', { name: w.allow }).click()
    await expect(portal.getByRole('heading', { name: w.allowed })).toBeVisible()
    const given = await ask(portal, 'token', {
      grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
      client_id: client,
      device_code: begun['device_code'] ?? '',
    })
    expect(given).toHaveProperty('refresh_token')

    await portal.goto(`${ready.url}/sign-ins`)
    await portal.getByRole('button', { name: w.end }).first().click()
    const review = portal.getByRole('dialog')
    await expectAccessible(portal)
    await review.getByRole('button', { name: w.confirm }).click()
    await expect(portal.getByText(w.none)).toBeVisible()
  })

  test(`the page that a command opens sends the answer to where the command waits (${language})`, async ({
    portal,
  }) => {
    await setLanguage(portal, language)
    let answered: (fields: URLSearchParams) => void = () => undefined
    const answer = new Promise<URLSearchParams>((resolve) => {
      answered = resolve
    })
    const command = createServer((request, response) => {
      let body = ''
      request.on('data', (chunk) => {
        body += String(chunk)
      })
      request.on('end', () => {
        response.setHeader('content-type', 'text/html')
        response.end('<!doctype html><link rel="icon" href="data:,"><title>done</title>')
        if (request.method === 'POST') answered(new URLSearchParams(body))
      })
    })
    await new Promise<void>((resolve) => command.listen(0, '127.0.0.1', resolve))
    try {
      const redirect = `http://localhost:${(command.address() as AddressInfo).port}`
      const query = new URLSearchParams({
        client_id: client,
        response_type: 'code',
        response_mode: 'form_post',
        redirect_uri: redirect,
        scope,
        state: '0123e5',
        nonce: '5e10',
        code_challenge: createHash('sha256').update(verifier).digest('base64url'),
        code_challenge_method: 'S256',
      })
      await portal.goto(`${ready.url}/organizations/oauth2/v2.0/authorize?${query}`)
      await expect(portal.getByRole('heading', { name: w.asks })).toBeVisible()
      await expect(portal.getByText(redirect)).toBeVisible()
      await expectAccessible(portal)
      await portal.getByRole('button', { name: w.allow }).click()
      const sent = await answer
      expect(sent.get('state')).toBe('0123e5')
      await expect(portal).toHaveTitle('done')
      await portal.goto(ready.url)
      const given = await ask(portal, 'token', {
        grant_type: 'authorization_code',
        client_id: client,
        code: sent.get('code') ?? '',
        redirect_uri: redirect,
        code_verifier: verifier,
      })
      expect(given).toHaveProperty('id_token')
      await portal.goto(`${ready.url}/sign-ins`)
      await portal.getByRole('button', { name: w.end }).first().click()
      await portal.getByRole('dialog').getByRole('button', { name: w.confirm }).click()
      await expect(portal.getByText(w.none)).toBeVisible()
    } finally {
      command.close()
    }
  })
}

test('whoever is not signed in signs in on the page itself', async ({ newcomer }) => {
  await newcomer.goto(`${ready.url}/devicelogin`)
  await expect(newcomer.getByRole('heading', { name: words.en.signIn })).toBeVisible()
  await expectAccessible(newcomer)
})
