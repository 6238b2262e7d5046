import { AxeBuilder } from '@axe-core/playwright'
import { type BrowserContext, chromium, expect, type Page, test as base } from '@playwright/test'
import { join } from 'node:path'
import { Authenticator } from './authenticator.ts'
import { profile } from './ready.ts'
import { ensureSignedIn } from './signIn.ts'

const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** A browser writes every refused request to the console; these refusals are what the tests ask for. */
const expectedUrls = [
  /\/auth\/session$/,
  /\/auth\/setup\/inspect$/,
  // What is dangerous is refused first, and confirmed.
  /status of 401 .*\/(v1\.0|providers\/Microsoft\.Authorization)\//,
  /status of 401 .*\/createShareableLinks\?/,
]
const refusedToNewcomers = [/\/auth\/setup\/password\/finish$/, /\/auth\/password$/, /\/bastions\/links\/inspect$/]

/** How a browser is started that trusts the server. */
export const how = {
  executablePath: process.env.SEKISHO_CHROMIUM ?? '/usr/bin/chromium',
  args: flags,
  env: { ...process.env, HOME: profile },
}
const look = { viewport: { width: 1440, height: 900 }, locale: 'en-US' }

type Browser = {
  context: BrowserContext
  page: Page
  authenticator: Authenticator
  problems: string[]
  expected: RegExp[]
}
type WorkerFixtures = { browserOfOwner: Browser }
type TestFixtures = {
  portal: Page
  newcomer: Page
  expected: RegExp[]
  authenticator: Authenticator
}

export const test = base.extend<TestFixtures, WorkerFixtures>({
  browserOfOwner: [
    async ({}, use) => {
      const context = await chromium.launchPersistentContext(join(profile, 'chromium'), {
        ...how,
        ...look,
        permissions: ['clipboard-write'],
      })
      const page = context.pages()[0] ?? (await context.newPage())
      const expected = [...expectedUrls]
      const problems = await watch(page, expected)
      const authenticator = await Authenticator.plugIn(page)
      // Also after a failure: the server knows the new passkey already, and the next browser needs it.
      await ensureSignedIn(page).finally(() => authenticator.save())
      await use({ context, page, authenticator, problems, expected })
      await context.close()
    },
    { scope: 'worker', timeout: 90_000 },
  ],

  /** A page on which any console error, policy report or uncaught exception fails the test. */
  portal: async ({ browserOfOwner: { page, problems, authenticator } }, use) => {
    await ensureSignedIn(page)
    await use(page)
    // With its counter: a server refuses a passkey whose counter went back.
    await authenticator.save()
    expect(problems.splice(0), 'console errors, policy reports and exceptions').toEqual([])
  },

  /** What a test brings about itself: messages of the console, each followed by the address it is about. */
  expected: async ({ browserOfOwner: { expected } }, use) => {
    const { length } = expected
    await use(expected)
    expected.length = length
  },

  authenticator: async ({ browserOfOwner: { authenticator } }, use) => {
    await use(authenticator)
    await authenticator.setPresent(true)
  },

  /** A browser that nobody has signed in with; it may be refused a code or a password. */
  newcomer: async ({}, use) => {
    const browser = await chromium.launch(how)
    try {
      const page = await (await browser.newContext(look)).newPage()
      const problems = await watch(page, [...expectedUrls, ...refusedToNewcomers])
      await use(page)
      expect(problems, 'console errors, policy reports and exceptions').toEqual([])
    } finally {
      await browser.close()
    }
  },
})

async function watch(page: Page, expected: RegExp[]) {
  const problems: string[] = []
  page.on('console', (message) => {
    const { url } = message.location()
    const text = `${message.text()} ${url}`
    if (message.type() === 'error' && !expected.some((pattern) => pattern.test(text))) problems.push(text)
  })
  page.on('pageerror', (error) => problems.push(error.stack ?? error.message))
  page.on('response', (response) => {
    if (response.url().includes('/assets/') && response.status() >= 400)
      problems.push(`${response.status()} ${response.url()}`)
  })
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      console.error(`CSP: ${event.violatedDirective} blocked ${event.blockedURI || event.sample} (${event.sourceFile})`)
    })
  })
  return problems
}

/**
 * Every answer arrives alone, some frames after the one before: what would move only when answers are late, as on a busy
 * machine, moves always.
 */
export async function oneAnswerAtATime(page: Page) {
  let before = Promise.resolve()
  await page.route(/\/(auth|api|subscriptions|providers|v1\.0)\b/, async (route) => {
    const turn = before.then(() => new Promise<void>((resolve) => setTimeout(resolve, 50)))
    before = turn
    await turn
    await route.continue()
  })
}

/** How far what is seen has jumped since the page was loaded, without anybody's doing (CLS, without its windows), and what. */
export const layoutShift = (page: Page) =>
  page.evaluate(
    () =>
      new Promise<{ sum: number; what: string }>((resolve) => {
        type Shift = PerformanceEntry & { value: number; hadRecentInput: boolean; sources: { node?: Node }[] }
        let sum = 0
        const what: string[] = []
        const add = (entries: PerformanceEntry[]) => {
          for (const shift of entries as Shift[]) {
            if (shift.hadRecentInput) continue
            sum += shift.value
            what.push(...shift.sources.map(({ node }) => node?.textContent?.slice(0, 60) ?? '?'))
          }
        }
        const observer = new PerformanceObserver((list) => add(list.getEntries()))
        observer.observe({ type: 'layout-shift', buffered: true })
        // What happened in this frame is recorded by the next.
        requestAnimationFrame(() =>
          requestAnimationFrame(() => {
            add(observer.takeRecords())
            resolve({ sum, what: what.join(' | ') })
          }),
        )
      }),
  )

/** Serious and critical findings fail; lesser ones are for reading. */
export async function expectAccessible(page: Page) {
  const { violations } = await new AxeBuilder({ page }).analyze()
  const serious = violations
    .filter((violation) => violation.impact === 'serious' || violation.impact === 'critical')
    .map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.html.slice(0, 160)).join(' | ')}`)
  expect(serious).toEqual([])
}
