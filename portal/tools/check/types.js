// The promise: src/api/schema.d.ts is made from the openapi.json that lies here, which is the server's own.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const portal = join(import.meta.dirname, '../..')
const { components } = JSON.parse(readFileSync(join(portal, 'openapi.json'), 'utf8'))
const digest = createHash('sha256').update(JSON.stringify(components)).digest('hex')
if (!readFileSync(join(portal, 'src/api/schema.d.ts'), 'utf8').includes(`sha256 of its components: ${digest}`)) {
  console.error('src/api/schema.d.ts is of another openapi.json: npm --prefix tools/api ci && npm run generate')
  process.exit(1)
}
