import { expect, type Page } from '@playwright/test'
import { elsewhere, end, look } from './elsewhere.ts'
import { expectAccessible, test } from './fixtures.ts'
import { reach } from './reach.ts'
import { ready } from './ready.ts'
import { password, Xvnc } from './xvnc.ts'

/** What a page shows of a display, in the words of `Xvnc.picture`. */
const shown = (page: Page) =>
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
async function expectSame(page: Page, display: Xvnc) {
  await expect(async () => expect(await shown(page)).toEqual(await display.picture())).toPass({ timeout: 30_000 })
}

test('a desktop is opened over VNC, typed in, watched, ended and played again, pixel for pixel', async ({ portal }) => {
  test.setTimeout(240_000)
  const properties = { enableSessionRecording: true }
  const machine = await reach(portal, 0, { name: 'gate', sku: 'Premium', properties })
  const { name, netns } = ready.machines[0] ?? { name: '', netns: '' }
  const whose = new RegExp(`^Actions for ${name}$`, 'i')
  const reports: string[] = []
  const onConsole = (message: { text: () => string }) => {
    if (/Content Security Policy|Refused to/i.test(message.text())) reports.push(message.text())
  }
  portal.context().on('console', onConsole)
  const display = await Xvnc.start(netns)
  try {
    display.showLine()
    await portal.goto(`${ready.url}/r${machine.id}/connect`)
    await portal.getByText('Desktop (VNC)', { exact: true }).click()
    await portal.getByRole('button', { name: /Bastion host/ }).click()
    await portal.getByRole('option', { name: /gate/ }).click()
    await expectAccessible(portal)
    const [desktop] = await Promise.all([
      portal.waitForEvent('popup'),
      portal.getByRole('link', { name: 'Open the desktop' }).click(),
    ])
    await desktop.waitForLoadState()
    const field = desktop.getByLabel('Password')
    await field.fill('wrong')
    await field.press('Enter')
    await expect(desktop.getByText('The desktop refused this account or password.')).toBeVisible()
    await expect(field).toHaveValue('')
    await field.fill(password)
    await field.press('Enter')
    await expect(desktop.getByRole('button', { name: 'End', exact: true })).toBeVisible({ timeout: 60_000 })
    // Xvnc draws the pointer into the picture until the viewer has moved it.
    await desktop.locator('canvas[role=img]').hover({ position: { x: 100, y: 100 } })
    await expectSame(desktop, display)
    expect(desktop.url(), 'the password is in no address').not.toContain(password)

    // An xterm has the keyboard while the pointer is over it. Playwright holds no Shift for a capital letter.
    await desktop.locator('canvas[role=img]').click({ position: { x: 100, y: 100 } })
    await desktop.keyboard.type('sekisho 42\n')
    await expect.poll(() => display.line()).toBe('sekisho 42')
    await expectSame(desktop, display)
    await expectAccessible(desktop)
    await desktop.screenshot({ path: 'test-results/desktop.png' })

    await elsewhere(portal, async (page) => {
      const watching = await look(page, 'Watch', whose)
      await expect(watching.getByText('You only watch')).toBeVisible()
      await expect(desktop.getByText('Watching: owner@example.com')).toBeVisible()
      await expectSame(watching, display)
      await end(page, whose)
      await expect(watching.getByText('Somebody ended this session.')).toBeVisible()
    })
    await expect(desktop.getByText('Somebody ended this session.')).toBeVisible()
    const last = await shown(desktop)
    await desktop.close()

    await portal.goto(`${ready.url}/sessions?tab=recordings`)
    const play = portal.getByRole('link', { name: new RegExp(`^Play: ${name}$`, 'i') }).first()
    const [replay] = await Promise.all([portal.waitForEvent('popup'), play.click()])
    await replay.getByLabel('Position').press('End')
    await expect(async () => expect(await shown(replay)).toEqual(last)).toPass({ timeout: 30_000 })
    await expectAccessible(replay)
    await replay.close()
    expect(reports).toEqual([])
  } finally {
    portal.context().off('console', onConsole)
    await display.stop()
  }
})
