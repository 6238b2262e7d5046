import type { ReactNode } from 'react'
import { bytes } from '../../app/format.ts'
import { type Asked, elevationsOf, usageOf } from '../../domain/access.ts'
import { When } from '../../parts/When.tsx'
import { PropertyList } from '../../ui/PropertyList.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { m } from './messages.ts'
import { elevationText, givesText, sourcesText } from './requestText.ts'
import { eventText } from './stateText.ts'

/** Everything that happened to a request, oldest first. */
export function TimelinePanel({ item, onClose }: { item: Asked; onClose: () => void }) {
  const { request } = item
  const said = request.sekisho.reviews
    .filter(({ approved }) => approved)
    .map(({ at, by, justification }) => ({ at, by: by.name, text: m.saidYes, why: justification }))
  const happened = request.sekisho.history.map(({ at, by, event }) => ({
    at,
    by: by?.name,
    text: eventText(event),
    why: undefined,
  }))
  const usage = usageOf(item)
  const hasPorts = request.virtualMachines.some(({ ports }) => ports.length > 0)
  const rows = [...said, ...happened].toSorted((a, b) => a.at.localeCompare(b.at))
  return (
    <SidePanel title={m.timelineOf(request.requestor)} subtitle={request.justification} onClose={onClose}>
      <div className="flex flex-col gap-5">
        <PropertyList
          items={[
            [m.gives, givesText(request)],
            ...elevationsOf(request).map(
              (one) =>
                [
                  m.users,
                  one.problem ? m.refusedBecause(elevationText(one), one.problem) : elevationText(one),
                ] satisfies [string, ReactNode],
            ),
            ...(hasPorts
              ? ([
                  [m.source, sourcesText(request)],
                  [m.used, usage ? m.carried(usage.connections, bytes(usage.bytes)) : m.neverUsed],
                ] satisfies [string, ReactNode][])
              : []),
            ...(usage
              ? ([
                  [m.firstUsed, <When key="first" iso={usage.first} />],
                  [m.lastUsed, <When key="last" iso={usage.last} />],
                ] satisfies [string, ReactNode][])
              : []),
          ]}
        />
        <ol aria-label={m.timeline} className="flex flex-col gap-3 border-l border-line pl-4">
          {rows.map(({ at, by, text, why }) => (
            <li key={`${at}${text}${by ?? ''}`} className="text-sm">
              <span className="font-medium">{text}</span> <span className="text-ink-2">{by ? m.by(by) : m.itself}</span>{' '}
              <When iso={at} />
              {why && <p className="text-ink-2">{why}</p>}
            </li>
          ))}
        </ol>
      </div>
    </SidePanel>
  )
}
