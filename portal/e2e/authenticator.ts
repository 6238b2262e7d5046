import type { CDPSession, Page } from '@playwright/test'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { profile } from './ready.ts'

const store = join(profile, 'passkeys.json')

const kept = () => (existsSync(store) ? (JSON.parse(readFileSync(store, 'utf8')) as Credential[]) : [])

/** A passkey without hands. Its keys are kept beside the profile, because a failed test starts a new browser. */
export class Authenticator {
  readonly #session: CDPSession
  readonly #id: string

  private constructor(session: CDPSession, id: string) {
    this.#session = session
    this.#id = id
  }

  /** With the passkeys of the owner, or with those that are given. */
  static async plugIn(page: Page, known = kept()) {
    const session = await page.context().newCDPSession(page)
    await session.send('WebAuthn.enable')
    const { authenticatorId } = await session.send('WebAuthn.addVirtualAuthenticator', {
      options: {
        protocol: 'ctap2',
        transport: 'internal',
        hasResidentKey: true,
        hasUserVerification: true,
        isUserVerified: true,
        automaticPresenceSimulation: true,
      },
    })
    for (const credential of known) await session.send('WebAuthn.addCredential', { authenticatorId, credential })
    return new Authenticator(session, authenticatorId)
  }

  /** Whoever is not there answers nothing. */
  async setPresent(enabled: boolean) {
    await this.#session.send('WebAuthn.setAutomaticPresenceSimulation', { authenticatorId: this.#id, enabled })
  }

  async save() {
    const { credentials } = await this.#session.send('WebAuthn.getCredentials', { authenticatorId: this.#id })
    writeFileSync(store, JSON.stringify(credentials), { mode: 0o600 })
  }
}

type Credential = {
  credentialId: string
  isResidentCredential: boolean
  rpId?: string
  privateKey: string
  userHandle?: string
  signCount: number
}
