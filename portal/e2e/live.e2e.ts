import { execFile, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, type Page } from '@playwright/test'
import { choose, elsewhere, end, look } from './elsewhere.ts'
import { test } from './fixtures.ts'
import { reach } from './reach.ts'
import { ready } from './ready.ts'
import { writeSshFiles } from './sshFiles.ts'
import { send } from './send.ts'

const run = promisify(execFile)
const mebibyte = 1024 * 1024

/** A host that records and copies files leads to the demo's first machine. */
const reachable = (portal: Page) =>
  reach(portal, 0, {
    name: 'gate',
    sku: 'Premium',
    properties: {
      enableTunneling: true,
      enableSessionRecording: true,
      enableFileCopy: true,
      sekisho: { maximumFileBytes: mebibyte },
    },
  })

/** What a page shows of a terminal. */
const screen = (terminal: Page) => terminal.locator('.xterm-rows')

async function type(terminal: Page, text: string) {
  await terminal.locator('.xterm').click()
  await terminal.keyboard.type(text)
}

async function openTerminal(portal: Page, machine: { id: string }) {
  await portal.goto(`${ready.url}/r${machine.id}/connect`)
  await portal.getByRole('button', { name: /Bastion host/ }).click()
  await portal.getByRole('option', { name: /gate/ }).click()
  await portal.getByLabel('Account on the machine').fill('root')
  const [terminal] = await Promise.all([
    portal.waitForEvent('popup'),
    portal.getByRole('link', { name: 'Open a terminal' }).click(),
  ])
  await terminal.waitForLoadState()
  await expect(screen(terminal)).toContainText('#', { timeout: 60_000 })
  return terminal
}

/** Who has the sessions of this file. */
const root = /^Actions for root@/

async function say(page: Page, text: string) {
  await choose(page, 'Send a message', root)
  await page.getByRole('textbox', { name: 'Message' }).fill(text)
  await page.getByRole('button', { name: 'Send', exact: true }).click()
  await expect(page.getByText('The message was sent.')).toBeVisible()
}

test('a terminal in a browser is watched, joined, spoken to and ended from another, and says so when it is opened twice', async ({
  portal,
  expected,
}) => {
  test.setTimeout(180_000)
  const machine = await reachable(portal)
  const terminal = await openTerminal(portal, machine)
  await type(terminal, 'echo $((6*7))-mine\n')
  await expect(screen(terminal)).toContainText('42-mine')

  await elsewhere(portal, async (page) => {
    const watching = await look(page, 'Watch', root)
    await expect(screen(watching)).toContainText('42-mine')
    await expect(watching.getByText('You only watch')).toBeVisible()
    await expect(terminal.getByText('Watching: owner@example.com')).toBeVisible()
    await type(watching, 'echo $((40+1))-mute\n')
    const joining = await look(page, 'Join, and type', root)
    await expect(terminal.getByText('Typing with you: owner@example.com')).toBeVisible()
    await type(joining, 'echo $((40+3))-joined\n')
    for (const each of [terminal, watching, joining]) await expect(screen(each)).toContainText('43-joined')
    await expect(screen(terminal)).not.toContainText('41-mute')
    await say(page, 'Please finish.')
    for (const each of [terminal, watching]) await expect(each.getByText('Please finish.')).toBeVisible()
    await joining.close()
    await expect(terminal.getByText(/Typing with you/)).toHaveCount(0)
  })

  // What is too large is refused here, and by the server, whatever a page says.
  await terminal.getByRole('button', { name: 'Files', exact: true }).click()
  const panel = terminal.getByRole('complementary', { name: 'Files' })
  const file = { name: 'large.bin', mimeType: 'application/octet-stream', buffer: Buffer.alloc(mebibyte + 1) }
  await panel.locator('input[type=file]').setInputFiles(file)
  await expect(panel.getByText('It is larger than the bastion host allows.')).toBeVisible()
  expected.push(/status of (403|413) .*\/content\?/)
  const put = (size: number, total: number) =>
    terminal.evaluate(
      async ([sent, whole]) => {
        const kept = Object.values(sessionStorage).join(' ')
        const session = /"sessionId":"([0-9a-f-]{36})"/.exec(kept)?.[1]
        const query = new URLSearchParams({ path: '/tmp/large.bin', offset: '0', total: String(whole) })
        const host = performance
          .getEntriesByType('resource')
          .map(({ name }) => /\/bastions\/[^/]+/.exec(name)?.[0])
          .find((found) => found !== undefined)
        const url = `${host}/api/sessions/${session}/content?${query}`
        const headers = { 'content-type': 'application/octet-stream' }
        const answer = await fetch(url, { method: 'PUT', headers, body: new Uint8Array(sent) })
        return [answer.status, ((await answer.json()) as { error: { code: string } }).error.code]
      },
      [size, total] as const,
    )
  expect(await put(10, mebibyte + 1)).toEqual([403, 'FileTooLarge'])
  expect(await put(mebibyte + 1, mebibyte)).toEqual([413, 'RequestContentTooLarge'])

  // Another window of the same browser tab, as "Duplicate" makes it.
  const [again] = await Promise.all([
    terminal.waitForEvent('popup'),
    terminal.evaluate(() => void window.open(location.href)),
  ])
  await expect(screen(again)).toContainText('43-joined')
  await expect(terminal.getByText('This session goes on in another window.')).toBeVisible()
  await type(again, 'echo $((40+4))-still\n')
  await expect(screen(again)).toContainText('44-still')
  await elsewhere(portal, (page) => end(page, root))
  await expect(again.getByText('Somebody ended this session.')).toBeVisible()
  await again.close()
  await terminal.close()
})

test('what was recorded is held, so that nobody removes it, released and deleted', async ({ portal }) => {
  const machine = await reachable(portal)
  const terminal = await openTerminal(portal, machine)
  await type(terminal, 'echo kept-$((6*7)); exit\n')
  await expect(terminal.getByText('The shell ended (status 0).')).toBeVisible()
  await terminal.close()
  await portal.goto(`${ready.url}/sessions?tab=recordings&q=kept-42`)
  const row = portal.getByRole('row', { name: /root/ })
  await expect(row).toHaveCount(1)
  const keep = async (deed: string) => {
    await row.getByRole('button', { name: /^Actions for root@/ }).click()
    await portal.getByRole('menuitem', { name: deed, exact: true }).click()
    const dialog = portal.getByRole('dialog')
    const button = dialog.getByRole('button', { name: deed, exact: true })
    await expect(button).toBeDisabled()
    await dialog.getByLabel('Reason, kept in the activity log').fill('case 7')
    await button.click()
  }
  await keep('Hold')
  await expect(portal.getByText('The recording is held.')).toBeVisible()
  await expect(row.getByText('Held')).toBeVisible()
  await row.getByRole('button', { name: /^Actions for root@/ }).click()
  await expect(portal.getByRole('menuitem')).toHaveText(['Release'])
  await portal.keyboard.press('Escape')
  await keep('Release')
  await expect(portal.getByText('The recording is no longer held.')).toBeVisible()
  await keep('Delete')
  await expect(portal.getByText('The recording was deleted.')).toBeVisible()
  await expect(row).toHaveCount(0)
})

/** A stock client in a terminal of its own, and what that shows. */
class Native {
  readonly #ssh
  shown = ''
  readonly ended: Promise<number | null>

  constructor(config: string, target: string) {
    const command = `stty rows 30 cols 100; exec ssh -F ${config} ${target}`
    this.#ssh = spawn('script', ['--quiet', '--flush', '--return', '--command', command, '/dev/null'])
    this.#ssh.stdout.on('data', (more: Buffer) => (this.shown += more.toString()))
    this.ended = new Promise((resolve) => this.#ssh.once('exit', resolve))
  }

  type(text: string) {
    this.#ssh.stdin.write(text)
  }

  async shows(text: string) {
    await expect.poll(() => this.shown).toContain(text)
  }

  stop() {
    this.#ssh.kill()
  }
}

test('the terminal of a stock ssh is watched, joined, spoken to and ended from a browser, and shows that', async ({
  portal,
}) => {
  test.setTimeout(180_000)
  const machine = await reachable(portal)
  const dir = await mkdtemp(join(tmpdir(), 'sekisho-live-'))
  const at = (name: string) => join(dir, name)
  let native: Native | undefined
  try {
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', at('key')])
    const told = await send(portal, 'POST', '/ssh/keys', { publicKey: await readFile(at('key.pub'), 'utf8') })
    await writeSshFiles(at, { knownHosts: told.knownHosts ?? '', config: told.config ?? '' })
    const target = `root@${machine.name}.sekisho`
    // Until the machine's SSH server trusts the installation.
    await expect(async () => void (await run('ssh', ['-F', at('config'), target, 'true']))).toPass({ timeout: 60_000 })

    const ssh = new Native(at('config'), target)
    native = ssh
    ssh.type('echo $((6*7))-mine\n')
    await ssh.shows('42-mine')
    await elsewhere(portal, async (page) => {
      const watching = await look(page, 'Watch', root)
      await expect(screen(watching)).toContainText('42-mine')
      await ssh.shows('[sekisho] watching: owner@example.com')
      const joining = await look(page, 'Join, and type', root)
      await ssh.shows('typing with you: owner@example.com')
      await type(joining, 'echo $((40+3))-joined\n')
      await ssh.shows('43-joined')
      await expect(screen(watching)).toContainText('43-joined')
      await say(page, 'Please finish.')
      await ssh.shows('[sekisho] message from owner@example.com: Please finish.')
      await watching.screenshot({ path: 'test-results/watch-native.png' })
      await end(page, root)
      await expect(watching.getByText('Somebody ended this session.')).toBeVisible()
    })
    await ssh.shows('the session ended (Disconnected): somebody ended it.')
    expect(await ssh.ended).toBe(255)
    await portal.evaluate((key) => fetch(`/ssh/keys/${key}`, { method: 'DELETE' }).then(({ ok }) => ok), told.id)
  } finally {
    native?.stop()
    await rm(dir, { recursive: true })
  }
})
