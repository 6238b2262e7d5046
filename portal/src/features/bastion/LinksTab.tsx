import { useQuery } from '@tanstack/react-query'
import { Link2 } from 'lucide-react'
import { useState } from 'react'
import { linksOf, takeLinkBack } from '../../api/queries/bastionLinks.ts'
import type { ShareableLink } from '../../api/types.ts'
import { nameOf } from '../../domain/armId.ts'
import { targetName } from '../../domain/bastion.ts'
import { ResourceLink } from '../../parts/ResourceLink.tsx'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { When } from '../../parts/When.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { actionsColumn, Table } from '../../ui/Table.tsx'
import { l } from './linkMessages.ts'

/** The links that lend logins through a host, and taking them back. */
export default function LinksTab({ host }: { host: string }) {
  const links = useQuery(linksOf(host))
  const [leaving, setLeaving] = useState<ShareableLink>()
  return (
    <Section query={links}>
      {(all) => (
        <Card flush={all.length > 0}>
          {all.length === 0 ? (
            <EmptyState icon={<Link2 size={20} aria-hidden />} title={l.none}>
              {l.noneWhy}
            </EmptyState>
          ) : (
            <Table
              label={l.links}
              rows={all}
              rowId={({ sekisho }) => sekisho?.id ?? ''}
              columns={[
                { id: 'machine', header: l.machine, cell: ({ vm }) => <ResourceLink id={vm.id} /> },
                {
                  id: 'shows',
                  header: l.shows,
                  cell: ({ sekisho }) => l[sekisho?.desktop?.protocol ?? 'ssh'],
                },
                {
                  id: 'account',
                  header: l.account,
                  cell: ({ sekisho }) => <span className="font-mono text-xs">{sekisho?.account}</span>,
                },
                { id: 'by', header: l.by, cell: ({ sekisho }) => sekisho?.createdBy },
                { id: 'until', header: l.until, cell: ({ sekisho }) => <When iso={sekisho?.expiryTime ?? ''} /> },
                {
                  id: 'uses',
                  header: l.uses,
                  cell: ({ sekisho }) => l.used(sekisho?.uses ?? 0, sekisho?.maximumUses ?? undefined),
                },
                {
                  id: 'from',
                  header: l.places,
                  cell: ({ sekisho }) => sekisho?.allowedSourceAddressPrefixes?.join(', ') || l.anywhere,
                },
                {
                  ...actionsColumn,
                  width: 'w-32',
                  cell: (link) => (
                    <Button
                      size="sm"
                      aria-label={l.takeBackOf(targetOf(link))}
                      className="ml-auto"
                      onPress={() => setLeaving(link)}
                    >
                      {l.takeBack}
                    </Button>
                  ),
                },
              ]}
            />
          )}
          {leaving && (
            <ReviewDialog
              title={l.takeBackOf(targetOf(leaving))}
              writes={[takeLinkBack(host, leaving)]}
              confirm={l.takeBack}
              onClose={() => setLeaving(undefined)}
              onDone={() => setLeaving(undefined)}
            >
              <p className="text-sm">{l.takeBackWhy}</p>
            </ReviewDialog>
          )}
        </Card>
      )}
    </Section>
  )
}

const targetOf = ({ vm, sekisho }: ShareableLink) =>
  sekisho?.account ? targetName({ machine: vm.id, account: sekisho.account }) : nameOf(vm.id)
