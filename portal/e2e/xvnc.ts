import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** What its file holds of the password below: a VNC server's passwords are as good as legible. */
export const password = 'password'
const kept = Buffer.from('dbd83cfd727a1458', 'hex')

/** A display that a machine of the demo shows on its loopback at VNC's port, and nowhere else. */
export class Xvnc {
  readonly #netns: string
  readonly #dir: string
  readonly #display: string
  readonly #children: ChildProcess[]

  private constructor(netns: string, dir: string, display: string, server: ChildProcess) {
    this.#netns = netns
    this.#dir = dir
    this.#display = display
    this.#children = [server]
  }

  static async start(netns: string) {
    const dir = await mkdtemp(join(tmpdir(), 'sekisho-xvnc-'))
    const file = join(dir, 'password')
    await writeFile(file, kept, { mode: 0o600 })
    const options = ['-rfbport', '5900', '-interface', '127.0.0.1', '-geometry', '800x600', '-depth', '24']
    const security = ['-SecurityTypes', 'VncAuth', '-PasswordFile', file]
    const server = spawn(
      'ip',
      ['netns', 'exec', netns, 'Xtigervnc', ...options, ...security, '-AlwaysShared', '-displayfd', '1'],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    )
    // It says which display it is once it answers; a server that ends says nothing.
    for await (const line of createInterface({ input: server.stdout })) {
      return new Xvnc(netns, dir, `:${line.trim()}`, server)
    }
    await rm(dir, { recursive: true })
    throw new Error('Xvnc did not start')
  }

  /** A terminal over the whole display that writes the first line that is typed into it to a file. */
  showLine() {
    const script = `read -r line; printf %s "$line" > ${this.#dir}/line; exec cat`
    const xterm = ['xterm', '-geometry', '100x40+0+0', '-e', 'sh', '-c', script]
    this.#children.push(spawn('ip', this.#in(xterm), { stdio: 'ignore' }))
  }

  line = () => readFile(join(this.#dir, 'line'), 'utf8').catch(() => '')

  /** What is on the display as its X server says it: the size, and the digest of red, green and blue of each pixel. */
  async picture() {
    const options = { encoding: 'buffer', maxBuffer: 64 * 1024 * 1024 } as const
    const { stdout } = await run('ip', this.#in(['xwd', '-silent', '-root']), options)
    return readXwd(stdout)
  }

  async stop() {
    for (const child of this.#children.toReversed()) child.kill()
    await rm(this.#dir, { recursive: true })
  }

  #in(command: string[]) {
    return ['netns', 'exec', this.#netns, 'env', `DISPLAY=${this.#display}`, ...command]
  }
}

/** A dump of a display of 24 bits (source: X11's `XWDFile.h`). */
function readXwd(dump: Buffer) {
  const field = (nth: number) => dump.readUInt32BE(nth * 4)
  const [header, width, height, isBig] = [field(0), field(4), field(5), field(7) === 1]
  const [bits, perRow, colours] = [field(11), field(12), field(19)]
  if (bits !== 32) throw new Error(`pixels of ${bits} bits`)
  const start = header + colours * 12
  const rgb = Buffer.alloc(width * height * 3)
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const at = start + y * perRow + x * 4
      const pixel = isBig ? dump.readUInt32BE(at) : dump.readUInt32LE(at)
      rgb.writeUIntBE(pixel & 0xffffff, (y * width + x) * 3, 3)
    }
  }
  return { width, height, digest: createHash('sha256').update(rgb).digest('hex') }
}
