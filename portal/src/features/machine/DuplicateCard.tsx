import type { Duplicate } from '../../api/types.ts'
import { ago } from '../../app/format.ts'
import { Card } from '../../ui/Card.tsx'
import { m } from './messages.ts'

/** What is known of the machines that use one key, so that a person can say which one is the right one. */
export function DuplicateCard({ duplicate }: { duplicate: Duplicate }) {
  return (
    <Card title={m.duplicateTitle}>
      <p role="alert" className="mb-3 rounded-lg bg-crit-soft px-3 py-2 text-sm">
        {m.duplicateWhy}
      </p>
      <div className="overflow-x-auto">
        <table className="w-full text-left text-sm">
          <thead className="text-xs text-ink-2">
            <tr>
              {[m.seenHost, m.seenAddress, m.seenBoot, m.seenAt].map((title) => (
                <th key={title} scope="col" className="py-1 pr-4 font-medium">
                  {title}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {duplicate.sightings.map(({ hostname, address, bootId, lastSeenAt }) => (
              <tr key={`${hostname} ${address} ${bootId}`} className="border-t border-line">
                <td className="py-1.5 pr-4">{hostname || '–'}</td>
                <td className="py-1.5 pr-4 font-mono text-xs">{address}</td>
                <td className="py-1.5 pr-4 font-mono text-xs">{bootId}</td>
                <td className="py-1.5">{ago(lastSeenAt)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  )
}
