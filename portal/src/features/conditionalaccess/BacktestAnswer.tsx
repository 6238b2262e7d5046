import { useMutation } from '@tanstack/react-query'
import { backtest } from '../../api/queries/conditionalAccess.ts'
import type { Policy } from '../../api/types.ts'
import { ago, num } from '../../app/format.ts'
import { Badge } from '../../ui/Badge.tsx'
import { Button } from '../../ui/Button.tsx'
import { ErrorNote } from '../../ui/ErrorNote.tsx'
import { Table } from '../../ui/Table.tsx'
import { m } from './messages.ts'

const days = 7

/** Whom the draft would have stopped. An answer to an earlier draft is not shown. */
export function BacktestAnswer({ policy, isReady }: { policy: Policy; isReady: boolean }) {
  const asked = JSON.stringify(policy)
  const run = useMutation({
    mutationFn: async (text: string) => ({ text, answer: await backtest(JSON.parse(text) as Policy, days) }),
  })
  const answer = run.data?.text === asked ? run.data.answer : undefined
  const stopped = answer?.stopped.reduce((sum, row) => sum + row.requests, 0) ?? 0
  return (
    <section aria-label={m.backtest} className="flex flex-col gap-3 rounded-lg border border-line p-3">
      <div className="flex items-center justify-between gap-3">
        <p className="text-sm">
          {!answer ? m.backtest : stopped === 0 ? m.nobodyStopped : m.ofRequests(num(stopped), num(answer.requests))}
        </p>
        <Button size="sm" isDisabled={!isReady} isPending={run.isPending} onPress={() => run.mutate(asked)}>
          {m.runBacktest}
        </Button>
      </div>
      {run.error && <ErrorNote error={run.error} />}
      {answer && answer.stopped.length > 0 && (
        <Table
          label={m.backtest}
          rows={answer.stopped}
          rowId={(row) => `${row.principalId} ${row.ipAddress} ${row.first} ${row.clientAppType}`}
          columns={[
            { id: 'who', header: m.principal, cell: (row) => row.name },
            {
              id: 'result',
              header: m.result,
              cell: (row) =>
                row.result === 'blocked' ? (
                  <Badge tone="crit">{m.blocked}</Badge>
                ) : (
                  <Badge tone="med">{m.interrupted}</Badge>
                ),
            },
            { id: 'address', header: m.address, cell: (row) => <span className="tnum">{row.ipAddress}</span> },
            {
              id: 'requests',
              header: m.requests,
              align: 'right',
              cell: (row) => <span className="tnum">{num(row.requests)}</span>,
            },
            {
              id: 'last',
              header: m.last,
              align: 'right',
              cell: (row) => <span className="tnum text-xs text-ink-2">{ago(row.last)}</span>,
            },
          ]}
        />
      )}
    </section>
  )
}
