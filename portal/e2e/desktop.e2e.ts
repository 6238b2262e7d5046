import { expect, type Page } from '@playwright/test'
import { expectSame, shown } from './canvas.ts'
import { type Display, password } from './display.ts'
import { elsewhere, end, look } from './elsewhere.ts'
import { expectAccessible, test } from './fixtures.ts'
import { reach } from './reach.ts'
import { ready } from './ready.ts'
import { send } from './send.ts'
import { account, startXrdp } from './xrdp.ts'
import { startXvnc } from './xvnc.ts'

const { name, netns } = ready.machines[0] ?? { name: '', netns: '' }
const whose = new RegExp(`^Actions for (.+@)?${name}$`, 'i')

/** Reports of the page's policy, and requests of whatever page that leave the server, for as long as something is done. */
async function keepsToItself(portal: Page, work: () => Promise<void>) {
  const context = portal.context()
  const problems: string[] = []
  const onConsole = (message: { text: () => string }) => {
    if (/Content Security Policy|Refused to/i.test(message.text())) problems.push(message.text())
  }
  const { host } = new URL(ready.url)
  const onAddress = (to: { url: () => string }) => {
    const { protocol, host: asked } = new URL(to.url())
    if (!['data:', 'blob:'].includes(protocol) && asked !== host) problems.push(to.url())
  }
  const onPage = (page: Page) => void page.on('websocket', onAddress)
  context.on('console', onConsole).on('request', onAddress).on('page', onPage)
  try {
    await work()
  } finally {
    context.off('console', onConsole).off('request', onAddress).off('page', onPage)
  }
  expect(problems).toEqual([])
}

/** The form that asks for the password of a desktop. */
async function open(portal: Page, protocol: 'VNC' | 'RDP', as?: string) {
  const properties = { enableSessionRecording: true }
  const machine = await reach(portal, 0, { name: 'gate', sku: 'Premium', properties })
  await portal.goto(`${ready.url}/r${machine.id}/connect`)
  await portal.getByText(`Desktop (${protocol})`, { exact: true }).click()
  await portal.getByRole('button', { name: /Bastion host/ }).click()
  await portal.getByRole('option', { name: /gate/ }).click()
  if (as !== undefined) await portal.getByLabel('Account').fill(as)
  await expectAccessible(portal)
  const [desktop] = await Promise.all([
    portal.waitForEvent('popup'),
    portal.getByRole('link', { name: 'Open the desktop' }).click(),
  ])
  await desktop.waitForLoadState()
  return desktop
}

async function logIn(desktop: Page) {
  const field = desktop.getByLabel('Password')
  await field.fill(password)
  await field.press('Enter')
  await expect(desktop.getByRole('button', { name: 'End', exact: true })).toBeVisible({ timeout: 60_000 })
  // A server that does not know where the pointer is draws it into the picture.
  await desktop.locator('canvas[role=img]').hover({ position: { x: 100, y: 100 } })
}

/** A line is typed into a terminal, pixel for pixel, also in a window of another size. */
async function use(desktop: Page, display: Display) {
  await expect.poll(display.reads).toBe(true)
  await expectSame(desktop, display)
  expect(desktop.url(), 'the password is in no address').not.toContain(password)
  // An xterm has the keyboard while the pointer is over it. Playwright holds no Shift for a capital letter.
  await desktop.locator('canvas[role=img]').click({ position: { x: 100, y: 100 } })
  await desktop.keyboard.type('sekisho 42\n')
  await expect.poll(() => display.line()).toBe('sekisho 42')
  await expectSame(desktop, display)
  await expectAccessible(desktop)
  const { width, height } = await shown(desktop)
  await desktop.setViewportSize({ width: 1000, height: 700 })
  await expect(async () => {
    const now = await shown(desktop)
    expect(now.width).toBeLessThan(width)
    expect(now.height).toBeLessThan(height)
  }).toPass()
  await expectSame(desktop, display)
}

/** Somebody else looks at it, sees the same, and ends it. */
async function watchAndEnd(portal: Page, desktop: Page, display: Display) {
  await elsewhere(portal, async (page) => {
    const watching = await look(page, 'Watch', whose)
    await expect(watching.getByText('You only watch')).toBeVisible()
    await expect(desktop.getByText('Watching: owner@example.com')).toBeVisible()
    await expectSame(watching, display)
    await end(page, whose)
    await expect(watching.getByText('Somebody ended this session.')).toBeVisible()
  })
  await expect(desktop.getByText('Somebody ended this session.')).toBeVisible()
}

/** The recording ends with what was last on the screen. */
async function replay(portal: Page, desktop: Page) {
  const last = await shown(desktop)
  await desktop.close()
  await portal.goto(`${ready.url}/sessions?tab=recordings`)
  const play = portal.getByRole('link', { name: new RegExp(`^Play: (.+@)?${name}$`, 'i') }).first()
  const [player] = await Promise.all([portal.waitForEvent('popup'), play.click()])
  await player.getByLabel('Position').press('End')
  await expect(async () => expect(await shown(player)).toEqual(last)).toPass({ timeout: 30_000 })
  await expectAccessible(player)
  await player.close()
}

test('a desktop is opened over VNC, typed in, watched, ended and played again, pixel for pixel', async ({ portal }) => {
  test.setTimeout(240_000)
  const display = await startXvnc(netns)
  try {
    display.showLine()
    await keepsToItself(portal, async () => {
      const desktop = await open(portal, 'VNC')
      const field = desktop.getByLabel('Password')
      await field.fill('wrong')
      await field.press('Enter')
      await expect(desktop.getByText('The desktop refused this account or password.')).toBeVisible()
      await expect(field).toHaveValue('')
      await logIn(desktop)
      await use(desktop, display)
      await desktop.screenshot({ path: 'test-results/desktop.png' })
      await watchAndEnd(portal, desktop, display)
      await replay(portal, desktop)
    })
  } finally {
    await display.stop()
  }
})

test('a desktop is opened over RDP, typed in, copied from, watched, ended and played again, pixel for pixel', async ({
  portal,
}) => {
  test.setTimeout(240_000)
  const display = await startXrdp(netns)
  try {
    await keepsToItself(portal, async () => {
      const desktop = await open(portal, 'RDP', account)
      await logIn(desktop)
      display.showLine()
      await use(desktop, display)
      await desktop.screenshot({ path: 'test-results/desktop-rdp.png' })

      await portal.context().grantPermissions(['clipboard-read', 'clipboard-write'])
      await desktop.evaluate(() => navigator.clipboard.writeText('貼り付け'))
      await desktop.getByRole('button', { name: 'Give the clipboard to the machine' }).click()
      await expect.poll(() => display.pasted()).toBe('貼り付け')
      display.copy('関所から')
      await expect.poll(() => desktop.evaluate(() => navigator.clipboard.readText())).toBe('関所から')

      await watchAndEnd(portal, desktop, display)
      await replay(portal, desktop)
    })
  } finally {
    await display.stop()
    // The next server there has another one.
    const forget = `${ready.machines[0]?.id}/providers/Sekisho.Bastion/forgetDesktopCertificate?api-version=2026-11-01`
    await send(portal, 'POST', forget, { port: 3389 })
  }
})
