import { spawn } from 'node:child_process'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { directory, Display, within } from './display.ts'

/** What its file holds of the password: a VNC server's passwords are as good as legible. */
const kept = Buffer.from('dbd83cfd727a1458', 'hex')

/** A display that a machine of the demo shows at VNC's port, and nowhere else. */
export async function startXvnc(netns: string) {
  const dir = await directory()
  const file = join(dir, 'password')
  await writeFile(file, kept, { mode: 0o600 })
  const options = ['-rfbport', '5900', '-interface', '127.0.0.1', '-geometry', '800x600', '-depth', '24']
  const security = ['-SecurityTypes', 'VncAuth', '-PasswordFile', file]
  const command = ['Xtigervnc', ...options, ...security, '-AlwaysShared', '-displayfd', '1']
  const server = spawn('ip', within(netns, command), { stdio: ['ignore', 'pipe', 'ignore'] })
  // It says which display it is once it answers; a server that ends says nothing.
  for await (const line of createInterface({ input: server.stdout })) {
    return new Display({ netns, dir, number: `:${line.trim()}` }, () => server.kill())
  }
  await rm(dir, { recursive: true })
  throw new Error('Xvnc did not start')
}
