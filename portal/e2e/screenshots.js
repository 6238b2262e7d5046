// npm run screenshots -- <outdir>: the main pages of a running server, in both languages, and one in the dark.
import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'

const out = process.argv[2]
if (!out) {
  console.error('usage: npm run screenshots -- <outdir>')
  process.exit(2)
}
const { status } = spawnSync('npx', ['playwright', 'test', '--config', 'e2e/screenshots.config.ts'], {
  stdio: 'inherit',
  env: { ...process.env, SEKISHO_SCREENSHOTS: resolve(process.env.INIT_CWD ?? '.', out) },
})
process.exitCode = status ?? 1
