// The promises: what the first page needs stays under 180 kB of brotli, and no lazy chunk over 40 kB; what a terminal
// needs beyond what it shares with that page stays under 90 kB, and a desktop under 60 kB.
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { brotliCompressSync } from 'node:zlib'

const dist = join(import.meta.dirname, '../../dist')
const assets = join(dist, 'assets')
const firstRouteLimit = 180_000
const sessionLimit = 90_000
const desktopLimit = 60_000
const chunkLimit = 40_000

const files = readdirSync(assets).filter((file) => /\.(js|css)$/.test(file))
const sizes = new Map(files.map((file) => [file, brotliCompressSync(readFileSync(join(assets, file))).length]))

/** Static imports of a chunk; dynamic ones are loaded later and do not count. */
function importsOf(file) {
  if (!file.endsWith('.js')) return []
  const code = readFileSync(join(assets, file), 'utf8')
  return [...code.matchAll(/(?:from|import)\s*["']\.\/([^"']+\.js)["']/g)].map((match) => match[1])
}

function closure(roots) {
  const seen = new Set()
  const walk = (file) => {
    if (seen.has(file) || !sizes.has(file)) return
    seen.add(file)
    importsOf(file).forEach(walk)
  }
  roots.forEach(walk)
  return seen
}

/** What a document and the lazy chunks of these names need together. */
function needed(document, lazy) {
  const html = readFileSync(join(dist, document), 'utf8')
  const entries = [...html.matchAll(/\/assets\/([^"]+\.(?:js|css))/g)].map((match) => match[1])
  return closure([...entries, ...files.filter((file) => lazy.some((name) => file.startsWith(`${name}-`)))])
}

const sum = (names) => [...names].reduce((total, file) => total + (sizes.get(file) ?? 0), 0)
const kb = (bytes) => `${(bytes / 1000).toFixed(1)} kB`
let isTooLarge = false

function check(what, names, limit) {
  const total = sum(names)
  console.log(`${what}: ${kb(total)} of ${kb(limit)} in ${names.size} files`)
  if (total <= limit) return
  isTooLarge = true
  const heaviest = [...names].toSorted((a, b) => sizes.get(b) - sizes.get(a)).slice(0, 5)
  console.error(`${what} too large; heaviest: ${heaviest.join(', ')}`)
}

const first = needed('index.html', ['OverviewPage'])
const session = needed('session.html', ['TerminalApp'])
check('first route', first, firstRouteLimit)
const desktop = needed('session.html', ['DesktopApp'])
const beside = (names) => new Set([...names].filter((file) => !first.has(file)))
check('terminal, beside that', beside(session), sessionLimit)
check('desktop, beside that', beside(desktop), desktopLimit)

for (const [file, size] of sizes) {
  if (first.has(file) || session.has(file) || desktop.has(file) || size <= chunkLimit) continue
  isTooLarge = true
  console.error(`chunk too large: ${basename(file)} ${kb(size)} (limit ${kb(chunkLimit)})`)
}
process.exitCode = isTooLarge ? 1 : 0
