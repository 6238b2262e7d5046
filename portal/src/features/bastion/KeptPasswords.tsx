import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { desktopQueries, forgetPassword, type KeptPassword } from '../../api/queries/desktops.ts'
import type { DesktopProtocol } from '../../domain/bastion.ts'
import { plainText } from '../../domain/plainText.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { When } from '../../parts/When.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { actionsColumn, Table } from '../../ui/Table.tsx'
import { d } from './desktopMessages.ts'
import { KeepPasswordDialog } from './KeepPasswordDialog.tsx'
import { m } from './messages.ts'

const accountOf = ({ account, domain }: KeptPassword) =>
  account ? plainText(domain ? `${account} (${domain})` : account) : d.anybody

/** The passwords that the bastion types at a machine, which nobody reads. */
export function KeptPasswords({ machine, protocol }: { machine: string; protocol: DesktopProtocol }) {
  const kept = useQuery(desktopQueries.kept(machine))
  const [isKeeping, setKeeping] = useState(false)
  const [leaving, setLeaving] = useState<KeptPassword>()
  return (
    <Card title={d.keptTitle}>
      <div className="flex flex-col items-start gap-3">
        <p className="text-sm text-ink-2">{d.keptWhy}</p>
        <Section query={kept}>
          {(all) =>
            all.length === 0 ? (
              <p className="text-sm">{d.noneKept}</p>
            ) : (
              <Table
                label={d.keptTitle}
                rows={all}
                rowId={(one) => `${one.protocol} ${one.account ?? ''}`}
                columns={[
                  { id: 'protocol', header: d.protocol, cell: (one) => one.protocol.toUpperCase() },
                  {
                    id: 'account',
                    header: m.account,
                    cell: (one) => <span className="font-mono text-xs">{accountOf(one)}</span>,
                  },
                  { id: 'by', header: d.by, cell: (one) => plainText(one.changedBy) },
                  { id: 'since', header: d.since, cell: (one) => <When iso={one.changedAt} /> },
                  {
                    ...actionsColumn,
                    cell: (one) => (
                      <Button
                        size="sm"
                        aria-label={d.forgetOf(accountOf(one))}
                        className="ml-auto"
                        onPress={() => setLeaving(one)}
                      >
                        {d.forget}
                      </Button>
                    ),
                  },
                ]}
              />
            )
          }
        </Section>
        <Button onPress={() => setKeeping(true)}>{d.keep}</Button>
      </div>
      {isKeeping && <KeepPasswordDialog machine={machine} protocol={protocol} onClose={() => setKeeping(false)} />}
      {leaving && (
        <ReviewDialog
          title={d.forgetOf(accountOf(leaving))}
          writes={[forgetPassword(machine, leaving)]}
          confirm={d.forget}
          done={d.forgotten}
          onClose={() => setLeaving(undefined)}
          onDone={() => setLeaving(undefined)}
        >
          <p className="text-sm">{d.forgetWhy}</p>
        </ReviewDialog>
      )}
    </Card>
  )
}
