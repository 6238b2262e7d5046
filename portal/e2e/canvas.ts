import { expect, type Page } from '@playwright/test'
import type { Display } from './display.ts'

/** What a page shows of a display, in the words of `Display.picture`. */
export const shown = (page: Page) =>
  page.locator('canvas[role=img]').evaluate(async (element) => {
    const canvas = element as HTMLCanvasElement
    const { width, height } = canvas
    const pixels = canvas.getContext('2d')?.getImageData(0, 0, width, height).data ?? []
    const rgb = new Uint8Array(width * height * 3)
    for (let at = 0; at < width * height; at += 1) {
      for (let part = 0; part < 3; part += 1) rgb[at * 3 + part] = pixels[at * 4 + part] ?? 0
    }
    const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', rgb))
    return { width, height, digest: Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('') }
  })

/** The display and the page may still be on their way to the same picture. */
export async function expectSame(page: Page, display: Display) {
  await expect(async () => expect(await shown(page)).toEqual(await display.picture())).toPass({ timeout: 30_000 })
}
