import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { desktopQueries, forgetCertificate, type Pinned } from '../../api/queries/desktops.ts'
import { plainText } from '../../domain/plainText.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { When } from '../../parts/When.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { actionsColumn, Table } from '../../ui/Table.tsx'
import { d } from './desktopMessages.ts'

/** What the RDP servers of a machine showed when they were first met; nothing is seen until one was. */
export function PinnedCertificates({ machine }: { machine: string }) {
  const pinned = useQuery(desktopQueries.pinned(machine))
  const [leaving, setLeaving] = useState<Pinned>()
  if (pinned.data?.length === 0) return null
  return (
    <Card title={d.pinnedTitle}>
      <div className="flex flex-col gap-3">
        <p className="text-sm text-ink-2">{d.pinnedWhy}</p>
        <Section query={pinned}>
          {(all) => (
            <Table
              label={d.pinnedTitle}
              rows={all}
              rowId={({ port }) => String(port)}
              columns={[
                { id: 'port', header: d.port, cell: ({ port }) => <span className="tnum">{port}</span> },
                {
                  id: 'fingerprint',
                  header: d.fingerprint,
                  cell: ({ fingerprint }) => (
                    <span className="font-mono text-xs break-all">{plainText(fingerprint)}</span>
                  ),
                },
                { id: 'by', header: d.by, cell: ({ by }) => plainText(by) },
                { id: 'since', header: d.since, cell: ({ since }) => <When iso={since} /> },
                {
                  ...actionsColumn,
                  cell: (one) => (
                    <Button
                      size="sm"
                      aria-label={d.forgetCertificateOf(one.port)}
                      className="ml-auto"
                      onPress={() => setLeaving(one)}
                    >
                      {d.forgetCertificate}
                    </Button>
                  ),
                },
              ]}
            />
          )}
        </Section>
      </div>
      {leaving && (
        <ReviewDialog
          title={d.forgetCertificateOf(leaving.port)}
          writes={[forgetCertificate(machine, leaving)]}
          confirm={d.forgetCertificate}
          done={d.certificateForgotten}
          onClose={() => setLeaving(undefined)}
          onDone={() => setLeaving(undefined)}
        >
          <p className="text-sm">{d.forgetCertificateWhy}</p>
        </ReviewDialog>
      )}
    </Card>
  )
}
