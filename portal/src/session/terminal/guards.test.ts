// @vitest-environment happy-dom
import { Terminal } from '@xterm/xterm'
import { describe, expect, test } from 'vitest'
import { installGuards, safeLink, safeTitle } from './guards.ts'

/** What a terminal would send to the machine because of what the machine sent. */
async function answersTo(output: string, isMuted: boolean) {
  const terminal = new Terminal({ allowProposedApi: true, logLevel: 'off' })
  const answers: string[] = []
  terminal.onData((data) => answers.push(data))
  installGuards(terminal, () => isMuted)
  await new Promise<void>((done) => terminal.write(output, done))
  return answers
}

const questions: [string, string][] = [
  ['what it is', '\x1b[c'],
  ['what it is, again', '\x1b[>c'],
  ['whether it is well', '\x1b[5n'],
  ['where the cursor is', '\x1b[6n'],
  ['where the cursor is, again', '\x1b[?6n'],
  ['which modes are on', '\x1b[?2004$p'],
  ['which modes are on, again', '\x1b[4$p'],
  ['how it is set up', '\x1bP$qm\x1b\\'],
]

describe('a program that asks the terminal', () => {
  test.each(questions)('%s is answered', async (_, output) => {
    expect(await answersTo(output, false)).toHaveLength(1)
  })

  test.each([...questions, ['a colour', '\x1b]4;1;?\x07'], ['the background', '\x1b]11;?\x1b\\']])(
    '%s stays without an answer when another terminal answers',
    async (_, output) => {
      expect(await answersTo(output, true)).toEqual([])
    },
  )

  test.each([
    ['the title of the window', '\x1b[21t'],
    ['the size of the window', '\x1b[14t\x1b[18t'],
    ['the clipboard', '\x1b]52;c;?\x07'],
    ['an answerback', '\x05'],
  ])('for %s gets none in any case', async (_, output) => {
    expect(await answersTo(output, false)).toEqual([])
  })
})

test.each([
  ['https://example.com/a?b#c', 'https://example.com/a?b#c'],
  ['http://例え.jp/', 'http://xn--r8jz45g.jp/'],
  ['https://ex\u0430mple.com/', 'https://xn--exmple-4nf.com/'],
  ['javascript:alert(1)', undefined],
  ['data:text/html,x', undefined],
  ['file:///etc/passwd', undefined],
  ['https://sekisho.example@evil.example/', undefined],
  ['/relative', undefined],
  ['', undefined],
])('the link %j leads to %j', (text, target) => {
  expect(safeLink(text)).toBe(target)
})

test.each([
  ['alice@vm: ~', 'alice@vm: ~'],
  [' \u202eevil\n ', '\ufffdevil\ufffd'],
  ['x'.repeat(200), `${'x'.repeat(59)}…`],
])('the title %j is shown as %j', (title, shown) => {
  expect(safeTitle(title)).toBe(shown)
})
