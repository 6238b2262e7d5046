import type { AccessEffect } from '../api/types.ts'
import type { Preview } from '../api/writes.ts'
import { messages } from '../app/i18n.ts'
import { Badge } from '../ui/Badge.tsx'
import type { Tone } from '../ui/tone.ts'

const m = messages({
  effect: { en: 'Effect on guarded ports', ja: '保護されたポートへの影響' },
  guarded: { en: 'guarded', ja: '保護' },
  unguarded: { en: 'no longer guarded', ja: '保護の解除' },
  opened: { en: 'opened', ja: '開放' },
  closed: { en: 'closed', ja: '閉鎖' },
  given: { en: 'given', ja: '付与' },
  taken: { en: 'taken', ja: '取り消し' },
  user: {
    en: (machine: string, user: string, what: string) => `${machine}: ${what} ${user}`,
    ja: (machine: string, user: string, what: string) => `${machine}: ${what} ${user}`,
  },
  line: {
    en: (machine: string, port: number, protocol: string) => `${machine}: ${protocol} ${port}`,
    ja: (machine: string, port: number, protocol: string) => `${machine}: ${protocol} ${port}`,
  },
  from: { en: (sources: string) => `from ${sources}`, ja: (sources: string) => `接続元 ${sources}` },
})

type Kind = 'guarded' | 'unguarded' | 'opened' | 'closed' | 'given' | 'taken'
const tones: Record<Kind, Tone> = {
  guarded: 'ok',
  unguarded: 'crit',
  opened: 'med',
  closed: 'info',
  given: 'med',
  taken: 'info',
}
const kindOf = (effect: AccessEffect) => effect.kind as Kind

/** Ports that machines begin to guard or open, and what they give users, or no longer do. */
export function AccessEffects({ preview }: { preview: Preview }) {
  const rows = preview.machines.flatMap(({ id, name, access }) => access.map((effect) => ({ id, name, effect })))
  if (rows.length === 0) return null
  return (
    <section aria-label={m.effect} className="flex flex-col gap-2">
      <h3 className="text-xs font-medium text-ink-2">{m.effect}</h3>
      <ul className="overflow-hidden rounded-lg border border-line text-xs">
        {rows.map(({ id, name, effect }) => (
          <Line key={`${id}${JSON.stringify(effect)}`} name={name} effect={effect} />
        ))}
      </ul>
    </section>
  )
}

function Line({ name, effect }: { name: string; effect: AccessEffect }) {
  const { protocol = '', port = 0, user, gives = '', sources = [] } = effect
  return (
    <li className="flex items-center gap-2.5 border-b border-line/60 px-3 py-1.5 last:border-0">
      <span className="tnum min-w-0 flex-1 font-mono break-all">
        {user ? m.user(name, user, gives) : m.line(name, port, protocol)}{' '}
        {sources.length > 0 && m.from(sources.join(', '))}
      </span>
      <Badge tone={tones[kindOf(effect)]}>{m[kindOf(effect)]}</Badge>
    </li>
  )
}
