import { useQuery } from '@tanstack/react-query'
import { LogIn } from 'lucide-react'
import { conditionalAccessQueries } from '../../api/queries/conditionalAccess.ts'
import type { SignInEntry } from '../../api/types.ts'
import { ago } from '../../app/format.ts'
import { Section } from '../../parts/Section.tsx'
import { Badge } from '../../ui/Badge.tsx'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Table } from '../../ui/Table.tsx'
import type { Tone } from '../../ui/tone.ts'
import { m, riskText } from './messages.ts'

const tones: Record<string, Tone> = { none: 'ok', low: 'low', medium: 'med', high: 'crit' }

/** The policies that said something, with what they said. */
const spoke = ({ appliedConditionalAccessPolicies: policies }: SignInEntry) =>
  policies.filter(({ result }) => !/notApplied|NotApplied|notEnabled/.test(result))

export function SignInsTab() {
  const entries = useQuery(conditionalAccessQueries.signIns())
  return (
    <Card flush title={m.signIns}>
      <Section query={entries}>
        {(rows) =>
          rows.length === 0 ? (
            <EmptyState icon={<LogIn size={20} aria-hidden />} title={m.noSignIns} />
          ) : (
            <Table
              label={m.signIns}
              rows={rows}
              rowId={({ id }) => id}
              columns={[
                {
                  id: 'when',
                  header: m.when,
                  cell: ({ createdDateTime }) => (
                    <span className="tnum text-xs text-ink-2">{ago(createdDateTime)}</span>
                  ),
                },
                { id: 'who', header: m.person, cell: ({ userPrincipalName }) => userPrincipalName },
                {
                  id: 'address',
                  header: m.address,
                  cell: ({ ipAddress, location }) => (
                    <span className="tnum">
                      {ipAddress} {location.countryOrRegion}
                    </span>
                  ),
                },
                {
                  id: 'result',
                  header: m.result,
                  cell: ({ status }) =>
                    status.errorCode === 0 ? (
                      <Badge tone="ok">{m.signedIn}</Badge>
                    ) : (
                      <span title={status.failureReason}>
                        <Badge tone="crit">{m.refused}</Badge>
                      </span>
                    ),
                },
                {
                  id: 'risk',
                  header: m.risk,
                  cell: ({ riskLevelDuringSignIn: level, riskEventTypes_v2: reasons }) => (
                    <span className="flex items-center gap-2">
                      <Badge tone={tones[level] ?? 'low'}>{riskText(level)}</Badge>
                      <span className="text-xs text-ink-3">{reasons.map(riskText).join(', ')}</span>
                    </span>
                  ),
                },
                {
                  id: 'policies',
                  header: m.policies,
                  cell: (entry) => (
                    <ul className="text-xs">
                      {spoke(entry).map(({ id, displayName, result }) => (
                        <li key={id}>
                          {displayName}: {riskText(result)}
                        </li>
                      ))}
                    </ul>
                  ),
                },
              ]}
            />
          )
        }
      </Section>
    </Card>
  )
}
