import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, type Page } from '@playwright/test'
import { test } from './fixtures.ts'
import { reach } from './reach.ts'
import { ready } from './ready.ts'
import { account as desktopAccount, password, Shadow } from './shadow.ts'
import { writeSshFiles } from './sshFiles.ts'

const run = promisify(execFile)

/** A host leads to the demo's second machine. */
const reachable = (portal: Page) =>
  reach(portal, 1, { name: 'native', sku: 'Standard', properties: { enableTunneling: true, enableFileCopy: true } })

test('a key that is said to be one’s own in the portal lets a stock ssh in, and no more when it is taken back', async ({
  portal,
}) => {
  const machine = await reachable(portal)
  const dir = await mkdtemp(join(tmpdir(), 'sekisho-ssh-'))
  try {
    const at = (name: string) => join(dir, name)
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', at('key')])
    await portal.goto(`${ready.url}/r${machine.id}/connect`)
    await portal.getByRole('button', { name: /Bastion host/ }).click()
    await portal.getByRole('option', { name: /native/ }).click()
    await portal.getByLabel('Public key').fill(await readFile(at('key.pub'), 'utf8'))
    await portal.getByRole('button', { name: 'This key is mine' }).click()
    const known = await portal.getByRole('region', { name: 'known_hosts' }).innerText()
    const config = await portal.getByRole('region', { name: 'config', exact: true }).innerText()
    await portal.screenshot({ path: 'test-results/ssh-client.png', fullPage: true })
    await writeSshFiles(at, { knownHosts: known, config })
    const ssh = () => run('ssh', ['-F', at('config'), `root@${machine.name}.sekisho`, 'echo 関所-$((6*7))'])
    // Until the machine's SSH server trusts the installation.
    await expect(async () => expect((await ssh()).stdout).toBe('関所-42\n')).toPass({ timeout: 60_000 })

    await portal.getByRole('button', { name: 'Take the key back' }).click()
    await expect(portal.getByRole('list', { name: 'Your keys' })).toHaveCount(0)
    await expect(ssh()).rejects.toThrow(/Permission denied/)
  } finally {
    await rm(dir, { recursive: true })
  }
})

test('a stock ssh without any key shows a code, and goes on when somebody has said yes to it', async ({ portal }) => {
  const machine = await reachable(portal)
  const dir = await mkdtemp(join(tmpdir(), 'sekisho-code-'))
  try {
    const at = (name: string) => join(dir, name)
    const told = await portal.evaluate(
      async () => (await (await fetch('/ssh/keys')).json()) as { knownHosts: string; config: string },
    )
    const own = [
      `UserKnownHostsFile ${at('known')}`,
      'GlobalKnownHostsFile /dev/null',
      'StrictHostKeyChecking yes',
      'PubkeyAuthentication no',
    ]
    const jump = told.config.replace(/ProxyJump (\S+)/, `ProxyCommand ssh -F ${at('config')} -W %h:%p $1`)
    await writeFile(at('known'), `${told.knownHosts}\n`)
    await writeFile(at('config'), `${own.join('\n')}\n${jump}\n`)
    const signIn = async (button: string) => {
      const ssh = spawn('ssh', ['-F', at('config'), `root@${machine.name}.sekisho`, 'echo 関所-$((6*7))'])
      let out = ''
      ssh.stdout.on('data', (more: Buffer) => (out += more.toString()))
      const ended = over(ssh)
      await portal.goto(`${ready.url}/devicelogin`)
      await portal.getByLabel('Code').fill(await said(ssh, /[A-Z]{4}-[A-Z]{4}/))
      await portal.getByRole('button', { name: 'Next' }).click()
      await expect(portal.getByRole('heading', { name: 'SSH asks to act as you' })).toBeVisible()
      await portal.getByRole('button', { name: button, exact: true }).click()
      return { code: await ended, out }
    }
    await expect(async () => expect(await signIn('Allow')).toEqual({ code: 0, out: '関所-42\n' })).toPass({
      timeout: 60_000,
    })
    expect((await signIn('Decline')).code).toBe(255)
    // What was given for a visit is gone with it.
    await portal.goto(`${ready.url}/sign-ins`)
    await expect(portal.getByRole('heading', { level: 1 })).toBeVisible()
    await expect(portal.getByRole('button', { name: 'End: SSH' })).toHaveCount(0)
  } finally {
    await rm(dir, { recursive: true })
  }
})

/** What a program says, until it says what is looked for. */
const said = (program: ChildProcess, pattern: RegExp) =>
  new Promise<string>((resolve, reject) => {
    let text = ''
    program.stderr?.on('data', (more: Buffer) => {
      text += more.toString()
      const [found] = pattern.exec(text) ?? []
      if (found) resolve(found)
    })
    program.once('exit', () => reject(new Error(text)))
  })

const over = (program: ChildProcess) =>
  new Promise<number | null>((resolve) => program.once('exit', (code) => resolve(code)))

const freePort = () =>
  new Promise<number>((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })

test('a computer that was signed in by the command goes to machines with one word, until it is signed out', async ({
  portal,
}) => {
  const machine = await reachable(portal)
  const dir = await mkdtemp(join(tmpdir(), 'sekisho-command-'))
  const running: ChildProcess[] = []
  try {
    const env = { ...process.env, XDG_CONFIG_HOME: join(dir, 'a % b') }
    const sekisho = (...words: string[]) => run(ready.command, words, { env })
    const start = (...words: string[]) => {
      const program = spawn(ready.command, words, { env, stdio: ['ignore', 'inherit', 'pipe'] })
      running.push(program)
      return program
    }
    await expect(sekisho('ssh', machine.name)).rejects.toThrow(/not signed in/)

    const login = start('login', ready.url, '--ca', ready.ca)
    const ended = over(login)
    const code = await said(login, /[A-Z]{4}-[A-Z]{4}/)
    await portal.goto(`${ready.url}/devicelogin`)
    await portal.getByLabel('Code').fill(code)
    await portal.getByRole('button', { name: 'Next' }).click()
    await expect(portal.getByRole('heading', { name: 'sekisho asks to act as you' })).toBeVisible()
    await portal.getByRole('button', { name: 'Allow' }).click()
    expect(await ended).toBe(0)

    const account = `root@${machine.name}`
    // Until the machine's SSH server trusts the installation.
    await expect(async () =>
      expect((await sekisho('ssh', account, 'echo', '関所-$((6*7))')).stdout).toBe('関所-42\n'),
    ).toPass({ timeout: 60_000 })
    const failed = sekisho('ssh', '-o', 'LogLevel=ERROR', account, 'exit 7')
    await expect(failed).rejects.toMatchObject({ code: 7 })

    const [here, back] = [join(dir, 'here'), join(dir, 'back')]
    const there = `${account}:/tmp/sekisho-command`
    await writeFile(here, '門\n'.repeat(100_000))
    await sekisho('scp', here, there)
    await sekisho('scp', there, back)
    expect(await readFile(back, 'utf8')).toBe(await readFile(here, 'utf8'))

    const port = await freePort()
    const inner = await freePort()
    start('ssh', account, `cd /tmp && exec python3 -m http.server ${inner} --bind 127.0.0.1`)
    start('tunnel', machine.name, `${inner}`, '--listen', `${port}`)
    const answer = async () => (await fetch(`http://127.0.0.1:${port}/sekisho-command`)).text()
    await expect(async () => expect(await answer()).toBe(await readFile(here, 'utf8'))).toPass({ timeout: 20_000 })

    // A host that comes before the other one records, and what passes to a desktop it could not.
    const properties = { enableTunneling: true, enableSessionRecording: true }
    await reach(portal, 1, { name: 'gate', sku: 'Premium', properties })
    // A program of one's own, which is told by a file where the desktop is.
    const shadow = await Shadow.start(ready.machines[1]?.netns ?? '')
    try {
      const [client, status] = [join(dir, 'client'), join(dir, 'status')]
      // It wants a display also where it shows nothing.
      const look = `HOME=${dir} DISPLAY=${shadow.display} xfreerdp "$1" /p:${password} /cert:ignore +auth-only; echo $? > ${status}`
      await writeFile(client, `#!/bin/sh\ncp "$1" ${join(dir, 'seen.rdp')}\n${look}\n`, { mode: 0o700 })
      await expect(async () => {
        await sekisho('rdp', machine.name, '--user', desktopAccount, '--with', client)
        expect(await readFile(status, 'utf8')).toBe('0\n')
      }).toPass({ timeout: 60_000 })
      const seen = await readFile(join(dir, 'seen.rdp'), 'utf8')
      expect(seen).toMatch(/^full address:s:127\.0\.0\.1:\d+\r\nusername:s:jun\r\n/)
      expect(await readdir(join(dir, 'a % b', 'sekisho'))).not.toContainEqual(expect.stringMatching(/\.rdp$/))
    } finally {
      await shadow.stop()
    }

    // What was recorded is fetched, and proved without the server.
    await reach(portal, 1, { name: 'native', sku: 'Premium', properties })
    await sekisho('ssh', account, 'echo', 'recorded')
    const list = `${machine.id}/providers/Sekisho.Bastion/recordings?api-version=2026-11-01`
    type Listed = { value: { id: string; properties: { key: string; state: string } }[] }
    const newest = () => portal.evaluate(async (url) => ((await (await fetch(url)).json()) as Listed).value[0], list)
    await expect.poll(async () => (await newest())?.properties.state).toBe('closed')
    const recording = await newest()
    const file = join(dir, 'session.skr')
    await sekisho('recording', 'download', recording?.id ?? '', '--to', file)
    const verified = await sekisho('recording', 'verify', file, '--key', recording?.properties.key ?? '', '--text')
    expect(verified.stdout).toContain('recorded\n')
    await expect(sekisho('recording', 'download', recording?.id ?? '', '--to', file)).rejects.toThrow(/exists/)

    await sekisho('logout')
    await expect(async () => expect(answer()).rejects.toThrow()).toPass({ timeout: 5_000 })
    await expect(sekisho('ssh', account, 'true')).rejects.toThrow(/not signed in/)
  } finally {
    for (const program of running) program.kill()
    await rm(dir, { recursive: true })
  }
})
