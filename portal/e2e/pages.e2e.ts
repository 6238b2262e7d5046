import { expect } from '@playwright/test'
import { expectAccessible, layoutShift, oneAnswerAtATime, test } from './fixtures.ts'
import { pages } from './pages.ts'
import { ready } from './ready.ts'
import { setLanguage } from './signIn.ts'

for (const language of ['ja', 'en'] as const) {
  for (const { name, path, [language]: title } of pages) {
    test(`${name} in ${language}`, async ({ portal }) => {
      await setLanguage(portal, language)
      await oneAnswerAtATime(portal)
      await portal.goto(ready.url + path)
      await expect(portal.getByRole('heading', { level: 1, name: title })).toBeVisible()
      // Sections load on their own; a page is whole when none of them waits, and sound when none of them failed.
      await expect(portal.locator('[aria-busy]')).toHaveCount(0)
      await expect(portal.getByRole('alert')).toHaveCount(0)
      const { sum, what } = await layoutShift(portal)
      expect(sum, `nothing jumps while it loads: ${what}`).toBeLessThanOrEqual(0.01)
      // Colours that fade from one theme to the other would be judged on their way.
      await portal.emulateMedia({ reducedMotion: 'reduce' })
      for (const theme of ['light', 'dark']) {
        await portal.evaluate((name) => document.documentElement.setAttribute('data-theme', name), theme)
        await expectAccessible(portal)
      }
      await portal.unrouteAll({ behavior: 'wait' })
    })
  }
}
