import type { UseQueryResult } from '@tanstack/react-query'
import { useState } from 'react'
import { createWatcher, type FlowLogs, logFlows, stopLogging } from '../../api/queries/traffic.ts'
import type { FlowLog, VirtualMachine } from '../../api/types.ts'
import type { Write } from '../../api/writes.ts'
import { nameOf } from '../../domain/armId.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { Badge } from '../../ui/Badge.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { actionsColumn, Table } from '../../ui/Table.tsx'
import { m } from './messages.ts'

/** Whether the flows of the machine's interfaces are logged, and the switch. */
export function FlowLogsCard({ machine, query }: { machine: VirtualMachine; query: UseQueryResult<FlowLogs> }) {
  const [asked, setAsked] = useState<{ title: string; write: Write }>()
  const nics = machine.properties.networkProfile?.networkInterfaces ?? []
  return (
    <Card flush title={m.logs}>
      <Section query={query}>
        {({ watchers, logs }) => {
          const watcher = watchers.find(({ location }) => location === machine.location)
          if (!watcher) {
            const write = createWatcher(machine.id, machine.location)
            return (
              <div className="flex flex-wrap items-center gap-3 px-4 pb-4 text-sm text-ink-2">
                {m.prepareWhy}
                <Button size="sm" onPress={() => setAsked({ title: m.prepare, write })}>
                  {m.prepare}
                </Button>
              </div>
            )
          }
          const own = (nic: string) => logs.find((log) => isOf(log, nic))
          return (
            <Table
              label={m.logs}
              rows={nics}
              rowId={({ id }) => id}
              columns={[
                { id: 'nic', header: m.address, hideHeader: true, cell: ({ id }) => nameOf(id) },
                {
                  id: 'state',
                  header: m.state,
                  cell: ({ id }) => {
                    const log = own(id)
                    return log?.properties.enabled ? (
                      <span className="inline-flex gap-1.5">
                        <Badge tone="ok">{m.on}</Badge>
                        <span className="text-ink-2">{m.through(log.name)}</span>
                      </span>
                    ) : (
                      <Badge tone="low">{m.off}</Badge>
                    )
                  },
                },
                {
                  ...actionsColumn,
                  cell: ({ id }) => {
                    const log = own(id)
                    const title = log ? m.turnOff : m.turnOn
                    const write: Write = log ? stopLogging(log) : logFlows(watcher, id)
                    return (
                      <Button
                        size="sm"
                        aria-label={`${title}: ${nameOf(id)}`}
                        onPress={() => setAsked({ title: `${title}: ${nameOf(id)}`, write })}
                      >
                        {title}
                      </Button>
                    )
                  },
                },
              ]}
            />
          )
        }}
      </Section>
      {asked && (
        <ReviewDialog
          title={asked.title}
          writes={[asked.write]}
          confirm={asked.title}
          onDone={() => {
            setAsked(undefined)
            void query.refetch()
          }}
          onClose={() => setAsked(undefined)}
        />
      )}
    </Card>
  )
}

const isOf = (log: FlowLog, nic: string) => log.properties.targetResourceId?.toLowerCase() === nic.toLowerCase()
