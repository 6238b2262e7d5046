import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The password of every desktop here. */
export const password = 'password'

/** A directory for what a display's programs write; servers may have a `/tmp` of their own. */
export const directory = () => mkdtemp('/var/tmp/sekisho-display-')

/** What starts a program in a machine of the demo. */
export const within = (netns: string, command: string[]) => ['netns', 'exec', netns, ...command]

type Where = {
  netns: string
  dir: string
  number: string
  authority?: string
}

/** A display of a machine of the demo, which a server shows on the machine's loopback. What is on it is known to the pixel. */
export class Display {
  readonly #where: Where
  readonly #children: ChildProcess[] = []
  readonly #end: () => void

  /** `end` ends its server. */
  constructor(where: Where, end: () => void) {
    this.#where = where
    this.#end = end
  }

  /** A terminal over the whole display that writes the first line that is typed into it to a file. */
  showLine() {
    const { dir } = this.#where
    const script = `printf yes > ${dir}/reads; read -r line; printf %s "$line" > ${dir}/line; exec cat`
    this.#start(['xterm', '-geometry', '200x80+0+0', '-e', 'sh', '-c', script])
  }

  /** Whether the terminal is there: what was typed before goes nowhere. */
  reads = async () => (await this.#written('reads')) === 'yes'

  line = () => this.#written('line')

  /** Has a text in its clipboard. */
  copy(text: string) {
    this.#start(['xclip', '-selection', 'clipboard', '-in', '-quiet']).stdin?.end(text)
  }

  /** What its programs would paste. */
  async pasted() {
    const { stdout } = await run('ip', this.#in(['xclip', '-selection', 'clipboard', '-out'])).catch(() => ({
      // Nobody has anything in it.
      stdout: '',
    }))
    return stdout
  }

  /** What is on it as its X server says it: the size, and the digest of red, green and blue of each pixel. */
  async picture() {
    const options = { encoding: 'buffer', maxBuffer: 64 * 1024 * 1024 } as const
    const { stdout } = await run('ip', this.#in(['xwd', '-silent', '-root']), options)
    return readXwd(stdout)
  }

  async stop() {
    for (const child of this.#children) child.kill()
    this.#end()
    await rm(this.#where.dir, { recursive: true })
  }

  #written(name: string) {
    return readFile(join(this.#where.dir, name), 'utf8').catch(() => '')
  }

  #start(command: string[]) {
    const child = spawn('ip', this.#in(command), { stdio: ['pipe', 'ignore', 'ignore'] })
    this.#children.push(child)
    return child
  }

  #in(command: string[]) {
    const { netns, number, authority } = this.#where
    const whose = authority === undefined ? [] : [`XAUTHORITY=${authority}`]
    return within(netns, ['env', 'LC_ALL=C.UTF-8', `DISPLAY=${number}`, ...whose, ...command])
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
