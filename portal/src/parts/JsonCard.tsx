import { messages } from '../app/i18n.ts'
import { CodeBlock } from '../ui/CodeBlock.tsx'

const m = messages({ json: { en: 'JSON', ja: 'JSON' }, copy: { en: 'Copy', ja: 'コピー' } })

export function JsonCard({ value }: { value: unknown }) {
  return <CodeBlock label={m.json} copyLabel={m.copy} code={JSON.stringify(value, null, 2)} />
}
