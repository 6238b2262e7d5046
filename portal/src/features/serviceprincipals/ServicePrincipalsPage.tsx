import { useQuery } from '@tanstack/react-query'
import { MonitorCog, Plus } from 'lucide-react'
import { useState } from 'react'
import { deleteApplication, directoryQueries } from '../../api/queries/directory.ts'
import type { Application, ServicePrincipal } from '../../api/types.ts'
import { ago, num } from '../../app/format.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Page } from '../../ui/Page.tsx'
import { actionsColumn, Table } from '../../ui/Table.tsx'
import { CreatePanel } from './CreatePanel.tsx'
import { m } from './messages.ts'
import { PrincipalPanel } from './PrincipalPanel.tsx'

type Row = { principal: ServicePrincipal; application?: Application }

export default function ServicePrincipalsPage() {
  const principals = useQuery(directoryQueries.servicePrincipals())
  const { data: applications = [] } = useQuery(directoryQueries.applications())
  const [creating, setCreating] = useState(false)
  const [openId, setOpen] = useState<string>()
  const [removing, setRemoving] = useState<Application>()

  const rows = principals.data?.map((principal): Row => ({
    principal,
    application: applications.find((item) => item.appId === principal.appId),
  }))
  const open = rows?.find((row) => row.principal.id === openId)
  const create = (
    <Button variant="primary" onPress={() => setCreating(true)}>
      <Plus size={14} aria-hidden />
      {m.create}
    </Button>
  )
  return (
    <Page title={m.title} subtitle={m.subtitle} actions={create}>
      <Card flush>
        <Section query={principals}>
          {() =>
            rows?.length ? (
              <PrincipalTable rows={rows} onOpen={setOpen} onRemove={setRemoving} />
            ) : (
              <EmptyState icon={<MonitorCog size={20} aria-hidden />} title={m.empty} action={create}>
                {m.subtitle}
              </EmptyState>
            )
          }
        </Section>
      </Card>
      {creating && <CreatePanel onClose={() => setCreating(false)} />}
      {open && (
        <PrincipalPanel principal={open.principal} application={open.application} onClose={() => setOpen(undefined)} />
      )}
      {removing && (
        <ReviewDialog
          title={m.removeTitle(removing.displayName)}
          writes={[deleteApplication(removing)]}
          confirm={m.remove}
          done={m.removed(removing.displayName)}
          onDone={() => setRemoving(undefined)}
          onClose={() => setRemoving(undefined)}
        >
          <p className="text-sm">{m.removeWhy}</p>
        </ReviewDialog>
      )}
    </Page>
  )
}

type TableProps = { rows: Row[]; onOpen: (id: string) => void; onRemove: (application: Application) => void }

function PrincipalTable({ rows, onOpen, onRemove }: TableProps) {
  return (
    <Table
      label={m.title}
      rows={rows}
      rowId={({ principal }) => principal.id}
      columns={[
        {
          id: 'name',
          header: m.name,
          cell: ({ principal }) => (
            <button
              type="button"
              onClick={() => onOpen(principal.id)}
              className="rounded font-medium hover:text-accent hover:underline"
            >
              {principal.displayName}
            </button>
          ),
        },
        {
          id: 'appId',
          header: m.appId,
          cell: ({ principal }) => <span className="font-mono text-xs">{principal.appId}</span>,
        },
        {
          id: 'secrets',
          header: m.secrets,
          align: 'right',
          cell: ({ application }) => (
            <span className="tnum">{application ? num(application.passwordCredentials?.length ?? 0) : '–'}</span>
          ),
        },
        {
          id: 'created',
          header: m.created,
          align: 'right',
          cell: ({ principal }) => <span className="tnum text-xs text-ink-2">{ago(principal.createdDateTime)}</span>,
        },
        {
          ...actionsColumn,
          cell: ({ application }) =>
            application && (
              <Button
                size="sm"
                variant="ghost"
                onPress={() => onRemove(application)}
                aria-label={m.removeTitle(application.displayName)}
              >
                {m.remove}
              </Button>
            ),
        },
      ]}
    />
  )
}
