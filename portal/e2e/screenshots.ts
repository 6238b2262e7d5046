import { expect, type Page } from '@playwright/test'
import { join } from 'node:path'
import { test } from './fixtures.ts'
import { pages } from './pages.ts'
import { ready } from './ready.ts'
import { setLanguage } from './signIn.ts'

/** What the documentation shows. */
const shown = new Set([
  'overview',
  'machines',
  'nsg',
  'rbac',
  'check',
  'audit',
  'machine',
  'machine-network',
  'machine-timeline',
])
const out = process.env.SEKISHO_SCREENSHOTS ?? 'screenshots'

async function shoot(page: Page, path: string, file: string) {
  await page.goto(ready.url + path)
  await expect(page.getByRole('heading', { level: 1 })).toBeVisible()
  await expect(page.locator('[aria-busy]')).toHaveCount(0)
  await page.evaluate(() => document.fonts.ready)
  await page.screenshot({ path: join(out, `${file}.png`), animations: 'disabled' })
}

for (const language of ['ja', 'en'] as const) {
  test(`screenshots in ${language}`, async ({ portal }) => {
    test.setTimeout(180_000)
    await setLanguage(portal, language)
    for (const { name, path } of pages.filter((page) => shown.has(page.name)))
      await shoot(portal, path, `${name}-${language}`)
  })
}

test('one screenshot in the dark', async ({ portal }) => {
  await portal.evaluate(() => localStorage.setItem('sekisho.theme', 'dark'))
  await setLanguage(portal, 'ja')
  await shoot(portal, '/machines', 'machines-ja-dark')
  await portal.evaluate(() => localStorage.removeItem('sekisho.theme'))
})
