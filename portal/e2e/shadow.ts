import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export const account = 'jun'
export const password = 'sesame42'
/** The MD4 of the password in UTF-16, as Windows keeps it. */
const kept = 'b5db700c28be40bba22c94222f8a883f'

/** FreeRDP's server before a display of a machine of the demo, at RDP's port; it lets one account in, by NLA. */
export class Shadow {
  /** The display, as a program outside of the machine names it. */
  readonly display: string
  readonly #dir: string
  readonly #children: ChildProcess[]

  private constructor(display: string, dir: string, children: ChildProcess[]) {
    this.display = display
    this.#dir = dir
    this.#children = children
  }

  static async start(netns: string) {
    const dir = await mkdtemp(join(tmpdir(), 'sekisho-shadow-'))
    await writeFile(join(dir, 'sam'), `${account}:::${kept}:::\n`, { mode: 0o600 })
    const within = ['netns', 'exec', netns]
    const display = spawn('ip', [...within, 'Xvfb', '-displayfd', '1', '-screen', '0', '640x480x24'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    for await (const line of createInterface({ input: display.stdout })) {
      const name = `:${line.trim()}`
      const env = ['env', `DISPLAY=${name}`, `HOME=${dir}`, `XDG_CONFIG_HOME=${dir}`]
      const options = ['/port:3389', '/sec:nla', `/sam-file:${join(dir, 'sam')}`]
      const server = spawn('ip', [...within, ...env, 'freerdp-shadow-cli', ...options], { stdio: 'ignore' })
      return new Shadow(name, dir, [display, server])
    }
    await rm(dir, { recursive: true })
    throw new Error('Xvfb did not start')
  }

  async stop() {
    for (const child of this.#children.toReversed()) child.kill()
    await rm(this.#dir, { recursive: true })
  }
}
