import { expect } from '@playwright/test'
import { createHmac } from 'node:crypto'

/** Seconds one code lives. */
const step = 30

/** An authenticator app: RFC 6238 with what every app speaks, SHA-1, six digits, half a minute. */
export class AuthenticatorApp {
  readonly #key: Buffer
  #used: number

  /** `secret` is the key in base32, as the page shows it for typing. */
  constructor(secret: string) {
    this.#key = base32(secret)
    // The server takes the code of the step before, too: beginning there leaves two more that need no waiting. What is
    // about to run out is not begun with.
    this.#used = Math.floor((Date.now() / 1000 + 10) / step) - 2
  }

  /** The first code that was not used, as soon as the server's clock is near enough to it. */
  async next() {
    const wanted = this.#used + 1
    await expect.poll(() => Date.now() / 1000 / step >= wanted - 1, { timeout: step * 1_000 }).toBe(true)
    this.#used = wanted
    return this.#code(wanted)
  }

  /** A code that no step around now has. */
  wrong() {
    const near = new Set([-3, -2, -1, 0, 1, 2, 3].map((by) => this.#code(Math.floor(Date.now() / 1000 / step) + by)))
    return ['000000', '111111', '222222', '333333', '444444', '555555', '666666', '777777'].find(
      (code) => !near.has(code),
    ) as string
  }

  #code(counter: number) {
    const message = Buffer.alloc(8)
    message.writeBigUInt64BE(BigInt(counter))
    const digest = createHmac('sha1', this.#key).update(message).digest()
    const offset = (digest.at(-1) ?? 0) & 0xf
    return String((digest.readUInt32BE(offset) & 0x7fff_ffff) % 1_000_000).padStart(6, '0')
  }
}

function base32(text: string) {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
  const bits = [...text.replaceAll(/[\s=]/g, '').toUpperCase()].map((letter) =>
    alphabet.indexOf(letter).toString(2).padStart(5, '0'),
  )
  const bytes = bits.join('').match(/.{8}/g) ?? []
  return Buffer.from(bytes.map((byte) => Number.parseInt(byte, 2)))
}
