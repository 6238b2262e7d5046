// The promise: what the first page needs stays under 180 kB of brotli, and no lazy chunk over 40 kB.
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { brotliCompressSync } from 'node:zlib'

const dist = join(import.meta.dirname, '../../dist')
const assets = join(dist, 'assets')
const firstRouteLimit = 180_000
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

const html = readFileSync(join(dist, 'index.html'), 'utf8')
const entries = [...html.matchAll(/\/assets\/([^"]+\.(?:js|css))/g)].map((match) => match[1])
const overview = files.filter((file) => /^OverviewPage-.*\.js$/.test(file))
const first = closure([...entries, ...overview])
const total = [...first].reduce((sum, file) => sum + (sizes.get(file) ?? 0), 0)
const kb = (bytes) => `${(bytes / 1000).toFixed(1)} kB`

console.log(`first route: ${kb(total)} of ${kb(firstRouteLimit)} in ${first.size} files`)
const heavy = [...sizes].filter(([file, size]) => !first.has(file) && size > chunkLimit)
for (const [file, size] of heavy)
  console.error(`chunk too large: ${basename(file)} ${kb(size)} (limit ${kb(chunkLimit)})`)
if (total > firstRouteLimit)
  console.error(
    `first route too large; heaviest: ${[...first]
      .toSorted((a, b) => sizes.get(b) - sizes.get(a))
      .slice(0, 5)
      .join(', ')}`,
  )
process.exitCode = total > firstRouteLimit || heavy.length > 0 ? 1 : 0
