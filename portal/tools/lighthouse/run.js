// node run.js <url> < {"chromium", "args", "cookies"}: the scores of Lighthouse's desktop preset, in a browser of its own.
// The session comes in by standard input: arguments can be read by everybody.
import lighthouse, { desktopConfig } from 'lighthouse'
import { readFileSync } from 'node:fs'
import puppeteer from 'puppeteer-core'

const [url] = process.argv.slice(2)
const { chromium, args, cookies } = JSON.parse(readFileSync(0, 'utf8'))
const categories = ['performance', 'accessibility', 'best-practices']

const browser = await puppeteer.launch({ executablePath: chromium, args })
try {
  await browser.setCookie(...cookies)
  const page = await browser.newPage()
  const flags = { output: 'json', logLevel: 'error', onlyCategories: categories, disableStorageReset: true }
  const result = await lighthouse(url, flags, desktopConfig, page)
  if (!result || result.lhr.runtimeError) throw new Error(result?.lhr.runtimeError?.message ?? 'no result')
  const { lhr } = result
  const score = (name) => Math.round((lhr.categories[name]?.score ?? 0) * 100)
  const lost = Object.values(lhr.audits)
    .filter((audit) => audit.score !== null && audit.score < 0.9)
    .map((audit) => `${audit.id}: ${audit.displayValue ?? audit.title}`)
  const scores = Object.fromEntries(categories.map((name) => [name, score(name)]))
  console.log(JSON.stringify({ scores, lost, finalUrl: lhr.finalDisplayedUrl }))
} finally {
  await browser.close()
}
