import { ArrowRight } from 'lucide-react'
import type { TrafficEffect } from '../api/types.ts'
import { num, plural } from '../app/format.ts'
import { messages } from '../app/i18n.ts'
import { Badge } from '../ui/Badge.tsx'
import { anyText, directionText } from './ruleText.ts'

const m = messages({
  packets: { en: 'What that does to packets', ja: 'パケットへの影響' },
  newlyAllowed: { en: 'newly allowed', ja: '新たに許可' },
  newlyDenied: { en: 'newly denied', ja: '新たに拒否' },
  same: { en: 'Every packet is treated as before.', ja: 'すべてのパケットの扱いは変わりません。' },
  unknown: {
    en: 'There are too many rules to say which packets pass after it.',
    ja: '規則が多いため、通過するパケットの変化を計算できません。',
  },
  interfaces: {
    en: (count: number) => plural(count, 'interface', 'interfaces'),
    ja: (count: number) => `NIC ${num(count)} 個`,
  },
  notAll: { en: 'and more', ja: 'ほかにもあります' },
})

/** At an interface of a machine, or at as many as the log says. */
type Shown = Pick<TrafficEffect, 'direction' | 'difference'> & { interface?: string; interfaces?: number }

const kinds = ['newlyAllowed', 'newlyDenied'] as const

/** Exactly the packets that pass and did not, and those that did and do not: rules alone do not tell. */
export function Traffic({ traffic }: { traffic: Shown[] }) {
  if (traffic.length === 0) return null
  const unchanged = traffic.every(({ difference }) =>
    difference ? kinds.every((kind) => difference[kind].boxes.length === 0) : false,
  )
  return (
    <section aria-label={m.packets} className="border-t border-line px-3 py-2 text-xs">
      <h4 className="mb-1 font-medium text-ink-2">{m.packets}</h4>
      {unchanged && <p>{m.same}</p>}
      {traffic.some(({ difference }) => !difference) && <p>{m.unknown}</p>}
      <ul className="flex flex-col gap-1">
        {traffic.flatMap(({ interface: nic = '', interfaces, direction, difference }) =>
          kinds.flatMap((kind) => {
            const changed = difference?.[kind]
            const lines = (changed?.boxes ?? []).map(({ packets }) => (
              <li key={JSON.stringify([nic, direction, kind, packets])} className="flex items-baseline gap-2">
                <Badge tone={kind === 'newlyAllowed' ? 'ok' : 'crit'}>{m[kind]}</Badge>
                <span className="shrink-0 text-ink-2">
                  {directionText[direction]}
                  {interfaces !== undefined && ` · ${m.interfaces(interfaces)}`}
                </span>
                <span className="min-w-0 font-mono break-all">
                  {packets.family} {anyText(packets.sourceAddresses)}
                  <ArrowRight size={11} className="mx-1 inline" aria-hidden />
                  {anyText(packets.destinationAddresses)}:{anyText(packets.destinationPorts)}{' '}
                  {anyText(packets.protocols)}
                </span>
              </li>
            ))
            if (changed && !changed.isAll) lines.push(<li key={`${nic} ${direction} ${kind}`}>{m.notAll}</li>)
            return lines
          }),
        )}
      </ul>
    </section>
  )
}
