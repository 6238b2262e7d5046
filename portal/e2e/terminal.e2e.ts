import { readFile } from 'node:fs/promises'
import { expect } from '@playwright/test'
import { test } from './fixtures.ts'
import { reach } from './reach.ts'
import { ready } from './ready.ts'

test('a terminal is opened on a machine without an open port, typed in, its files are copied, recorded and ended', async ({
  portal,
}) => {
  const machine = await reach(portal, 0, {
    name: 'gate',
    sku: 'Premium',
    properties: { enableSessionRecording: true, enableFileCopy: true },
  })
  await portal.goto(`${ready.url}/r${machine.id}/connect`)
  await portal.getByLabel('Account on the machine').fill('root')
  const [terminal] = await Promise.all([
    portal.waitForEvent('popup'),
    portal.getByRole('link', { name: 'Open a terminal' }).click(),
  ])
  await terminal.waitForLoadState()
  await expect(terminal.locator('.xterm-rows')).toContainText('#', { timeout: 60_000 })
  await terminal.locator('.xterm').click()
  await terminal.keyboard.type('echo $((6*7))-関所\n')
  await expect(terminal.locator('.xterm-rows')).toContainText('42-関所')
  await terminal.screenshot({ path: 'test-results/terminal.png' })

  await terminal.getByRole('button', { name: 'Files', exact: true }).click()
  const panel = terminal.getByRole('complementary', { name: 'Files' })
  const name = '関所 1.txt'
  const contents = Buffer.from('通る\n'.repeat(100_000))
  await panel.locator('input[type=file]').setInputFiles({ name, mimeType: 'text/plain', buffer: contents })
  await expect(panel.getByText(/^SHA-256 [0-9a-f]{64}$/)).toBeVisible()
  await terminal.locator('.xterm').click()
  await terminal.keyboard.type('wc -c < *1.txt\n')
  await expect(terminal.locator('.xterm-rows')).toContainText(String(contents.length))
  await panel.getByRole('button', { name: `More for ${name}` }).click()
  const [download] = await Promise.all([
    terminal.waitForEvent('download'),
    terminal.getByRole('menuitem', { name: 'Download' }).click(),
  ])
  expect(download.suggestedFilename()).toBe(name)
  expect((await readFile(await download.path())).equals(contents)).toBe(true)
  await terminal.screenshot({ path: 'test-results/files.png' })
  await terminal.locator('.xterm').click()
  await terminal.keyboard.type('exit 3\n')
  await expect(terminal.getByText('The shell ended with status 3.')).toBeVisible()

  await portal.goto(`${ready.url}/sessions?tab=recordings`)
  await expect(portal.getByRole('row', { name: /root/ }).first()).toBeVisible()
})
