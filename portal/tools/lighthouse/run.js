// node run.js <debugging port> <url>: the scores of Lighthouse's desktop preset, in a browser that is signed in already.
import lighthouse, { desktopConfig } from 'lighthouse'

const [port, url] = process.argv.slice(2)
const categories = ['performance', 'accessibility', 'best-practices']
const result = await lighthouse(
  url,
  // The session is a cookie: it has to stay.
  { port: Number(port), output: 'json', logLevel: 'error', onlyCategories: categories, disableStorageReset: true },
  desktopConfig,
)
if (!result || result.lhr.runtimeError) throw new Error(result?.lhr.runtimeError?.message ?? 'no result')
const { lhr } = result
const scores = Object.fromEntries(
  categories.map((name) => [name, Math.round((lhr.categories[name]?.score ?? 0) * 100)]),
)
const lost = Object.values(lhr.audits)
  .filter((audit) => audit.score !== null && audit.score < 0.9)
  .map((audit) => `${audit.id}: ${audit.displayValue ?? audit.title}`)
console.log(JSON.stringify({ scores, lost, finalUrl: lhr.finalDisplayedUrl }))
