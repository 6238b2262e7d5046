import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from '@playwright/test'
import { test } from './fixtures.ts'
import { ready } from './ready.ts'
import { send } from './send.ts'
import { setLanguage } from './signIn.ts'

const run = promisify(execFile)
const adminLogin = '1c0163c0-47e6-4577-8991-ea5c82e286e4'

test('a key that is said to be one’s own in the portal lets a stock ssh in, and no more when it is taken back', async ({
  portal,
}) => {
  const machine = ready.machines[1]
  if (!machine) throw new Error('the demo has no second machine')
  const [group = ''] = machine.id.split('/providers/')
  await portal.goto(`${ready.url}/machines`)
  await setLanguage(portal, 'en')
  const me = await portal.evaluate(
    async () => (await (await fetch('/auth/session')).json()) as { person: { id: string } },
  )
  const host = `${group}/providers/Microsoft.Network/bastionHosts/native?api-version=2024-05-01`
  const properties = { enableTunneling: true }
  await send(portal, 'PUT', host, { location: 'home', sku: { name: 'Standard' }, properties })
  const role = `${machine.id}/providers/Microsoft.Authorization/roleAssignments/${crypto.randomUUID()}`
  await send(portal, 'PUT', `${role}?api-version=2022-04-01`, {
    properties: {
      roleDefinitionId: `/providers/Microsoft.Authorization/roleDefinitions/${adminLogin}`,
      principalId: me.person.id,
      principalType: 'User',
    },
  })

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
    const own = [
      `UserKnownHostsFile ${at('known')}`,
      'GlobalKnownHostsFile /dev/null',
      'StrictHostKeyChecking yes',
      'BatchMode yes',
      `IdentityFile ${at('key')}`,
      'IdentitiesOnly yes',
    ]
    // The jump is another ssh, which would read the configuration of whoever runs the test.
    const jump = config.replace(/ProxyJump (\S+)/, `ProxyCommand ssh -F ${at('config')} -W %h:%p $1`)
    await writeFile(at('known'), `${known}\n`)
    await writeFile(at('config'), `${own.join('\n')}\n${jump}\n`)
    const ssh = () =>
      run('ssh', ['-F', at('config'), `root@${machine.name.toLowerCase()}.sekisho`, 'echo 関所-$((6*7))'])
    // Until the machine's SSH server trusts the installation.
    await expect(async () => expect((await ssh()).stdout).toBe('関所-42\n')).toPass({ timeout: 60_000 })

    await portal.getByRole('button', { name: 'Take the key back' }).click()
    await expect(portal.getByRole('list', { name: 'Your keys' })).toHaveCount(0)
    await expect(ssh()).rejects.toThrow(/Permission denied/)
  } finally {
    await rm(dir, { recursive: true })
  }
})
