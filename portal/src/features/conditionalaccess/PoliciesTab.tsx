import { useQuery } from '@tanstack/react-query'
import { Plus, ShieldCheck } from 'lucide-react'
import { useState } from 'react'
import { conditionalAccessQueries, confirmPolicy, deletePolicy } from '../../api/queries/conditionalAccess.ts'
import type { Policy } from '../../api/types.ts'
import { ago, dateTime } from '../../app/format.ts'
import { draftOf } from '../../domain/policyDraft.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { Badge } from '../../ui/Badge.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { actionsColumn, Table } from '../../ui/Table.tsx'
import type { Tone } from '../../ui/tone.ts'
import { m } from './messages.ts'
import { PolicyPanel } from './PolicyPanel.tsx'

const states: Record<string, { text: 'on' | 'report' | 'off'; tone: Tone }> = {
  enabled: { text: 'on', tone: 'ok' },
  enabledForReportingButNotEnforced: { text: 'report', tone: 'info' },
  disabled: { text: 'off', tone: 'low' },
}

type Asked = { what: 'remove' | 'confirm'; policy: Policy }

export function PoliciesTab() {
  const policies = useQuery(conditionalAccessQueries.policies())
  const [open, setOpen] = useState<Policy | 'new'>()
  const [asked, setAsked] = useState<Asked>()
  const create = (
    <Button variant="primary" size="sm" onPress={() => setOpen('new')}>
      <Plus size={14} aria-hidden />
      {m.create}
    </Button>
  )
  return (
    <>
      <Card flush title={m.policies} actions={create}>
        <Section query={policies}>
          {(rows) =>
            rows.length === 0 ? (
              <EmptyState icon={<ShieldCheck size={20} aria-hidden />} title={m.empty} />
            ) : (
              <PolicyTable rows={rows} onOpen={setOpen} onAsk={setAsked} />
            )
          }
        </Section>
      </Card>
      {open && <PolicyPanel policy={open === 'new' ? undefined : open} onClose={() => setOpen(undefined)} />}
      {asked && <Ask {...asked} onClose={() => setAsked(undefined)} />}
    </>
  )
}

function Ask({ what, policy, onClose }: Asked & { onClose: () => void }) {
  const name = policy.displayName ?? ''
  return what === 'remove' ? (
    <ReviewDialog
      title={m.removeTitle(name)}
      writes={[deletePolicy(policy)]}
      confirm={m.remove}
      done={m.removed}
      onDone={onClose}
      onClose={onClose}
    />
  ) : (
    <ReviewDialog
      title={m.confirmTitle(name)}
      writes={[confirmPolicy(policy)]}
      confirm={m.confirm}
      done={m.confirmed}
      onDone={onClose}
      onClose={onClose}
    >
      <p className="text-sm">{m.confirmWhy}</p>
    </ReviewDialog>
  )
}

type TableProps = { rows: Policy[]; onOpen: (policy: Policy) => void; onAsk: (asked: Asked) => void }

function PolicyTable({ rows, onOpen, onAsk }: TableProps) {
  return (
    <Table
      label={m.policies}
      rows={rows}
      rowId={(policy) => policy.id ?? ''}
      columns={[
        {
          id: 'name',
          header: m.name,
          cell: (policy) => (
            <button
              type="button"
              onClick={() => onOpen(policy)}
              className="rounded text-left font-medium hover:text-accent hover:underline"
            >
              {policy.displayName}
            </button>
          ),
        },
        {
          id: 'state',
          header: m.state,
          cell: ({ state, sekisho }) => {
            const shown = states[state ?? ''] ?? { text: 'off', tone: 'low' }
            return (
              <span className="flex items-center gap-2">
                <Badge tone={shown.tone}>{m[shown.text]}</Badge>
                {sekisho?.confirmBy && <Badge tone="high">{m.waiting(dateTime(sekisho.confirmBy))}</Badge>}
              </span>
            )
          },
        },
        { id: 'asks', header: m.asks, cell: (policy) => m[draftOf(policy).grant] },
        {
          id: 'changed',
          header: m.changed,
          align: 'right',
          cell: ({ modifiedDateTime }) => (
            <span className="tnum text-xs text-ink-2">{modifiedDateTime ? ago(modifiedDateTime) : ''}</span>
          ),
        },
        {
          ...actionsColumn,
          cell: (policy) => (
            <span className="flex justify-end gap-1">
              {policy.sekisho?.confirmBy && (
                <Button size="sm" onPress={() => onAsk({ what: 'confirm', policy })}>
                  {m.confirm}
                </Button>
              )}
              <Button
                size="sm"
                variant="ghost"
                onPress={() => onAsk({ what: 'remove', policy })}
                aria-label={`${m.remove} ${policy.displayName}`}
              >
                {m.remove}
              </Button>
            </span>
          ),
        },
      ]}
    />
  )
}
