import { useQuery } from '@tanstack/react-query'
import { MapPin, Plus } from 'lucide-react'
import { useState } from 'react'
import { conditionalAccessQueries, deleteLocation } from '../../api/queries/conditionalAccess.ts'
import type { NamedLocation } from '../../api/types.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { Badge } from '../../ui/Badge.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { actionsColumn, Table } from '../../ui/Table.tsx'
import { contentOf, LocationPanel } from './LocationPanel.tsx'
import { m } from './messages.ts'

export function LocationsTab() {
  const locations = useQuery(conditionalAccessQueries.locations())
  const [open, setOpen] = useState<NamedLocation | 'new'>()
  const [removing, setRemoving] = useState<NamedLocation>()
  return (
    <>
      <Card
        flush
        title={m.locations}
        actions={
          <Button variant="primary" size="sm" onPress={() => setOpen('new')}>
            <Plus size={14} aria-hidden />
            {m.newLocation}
          </Button>
        }
      >
        <Section query={locations}>
          {(rows) =>
            rows.length === 0 ? (
              <EmptyState icon={<MapPin size={20} aria-hidden />} title={m.noLocations} />
            ) : (
              <Table
                label={m.locations}
                rows={rows}
                rowId={(location) => location.id ?? ''}
                columns={[
                  {
                    id: 'name',
                    header: m.name,
                    cell: (location) => (
                      <span className="flex items-center gap-2">
                        <button
                          type="button"
                          onClick={() => setOpen(location)}
                          className="rounded text-left font-medium hover:text-accent hover:underline"
                        >
                          {location.displayName}
                        </button>
                        {location.isTrusted && <Badge tone="ok">{m.trusted}</Badge>}
                      </span>
                    ),
                  },
                  {
                    id: 'content',
                    header: m.content,
                    cell: (location) => (
                      <span className="block max-w-md truncate font-mono text-xs">
                        {contentOf(location).join(', ')}
                      </span>
                    ),
                  },
                  {
                    ...actionsColumn,
                    cell: (location) => (
                      <Button
                        size="sm"
                        variant="ghost"
                        onPress={() => setRemoving(location)}
                        aria-label={`${m.remove} ${location.displayName}`}
                      >
                        {m.remove}
                      </Button>
                    ),
                  },
                ]}
              />
            )
          }
        </Section>
      </Card>
      {open && <LocationPanel location={open === 'new' ? undefined : open} onClose={() => setOpen(undefined)} />}
      {removing && (
        <ReviewDialog
          title={m.removeTitle(removing.displayName)}
          writes={[deleteLocation(removing)]}
          confirm={m.remove}
          done={m.removed}
          onDone={() => setRemoving(undefined)}
          onClose={() => setRemoving(undefined)}
        />
      )}
    </>
  )
}
