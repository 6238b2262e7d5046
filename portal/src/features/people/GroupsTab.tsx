import { useQuery } from '@tanstack/react-query'
import { Plus, Users } from 'lucide-react'
import { useState } from 'react'
import { Form } from 'react-aria-components'
import { createGroup, directoryQueries } from '../../api/queries/directory.ts'
import type { Group } from '../../api/types.ts'
import { useUnsaved } from '../../app/unsaved.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { Dialog } from '../../ui/Dialog.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Table } from '../../ui/Table.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { GroupPanel } from './GroupPanel.tsx'
import { m } from './messages.ts'

export function GroupsTab() {
  const groups = useQuery(directoryQueries.groups())
  const [open, setOpen] = useState<Group>()
  const [creating, setCreating] = useState(false)
  const create = (
    <Button variant="primary" onPress={() => setCreating(true)}>
      <Plus size={14} aria-hidden />
      {m.addGroup}
    </Button>
  )
  return (
    <Card flush>
      <Section query={groups}>
        {(all) =>
          all.length === 0 ? (
            <EmptyState icon={<Users size={20} aria-hidden />} title={m.noGroups} action={create}>
              {m.noGroupsWhy}
            </EmptyState>
          ) : (
            <>
              <div className="flex justify-end border-b border-line px-3 py-2.5">{create}</div>
              <Table
                label={m.groups}
                rows={all}
                rowId={(group) => group.id}
                columns={[
                  {
                    id: 'name',
                    header: m.name,
                    cell: (group) => (
                      <button
                        type="button"
                        onClick={() => setOpen(group)}
                        className="rounded font-medium hover:text-accent hover:underline"
                      >
                        {group.displayName}
                      </button>
                    ),
                  },
                  {
                    id: 'id',
                    header: 'ID',
                    cell: (group) => <span className="font-mono text-xs text-ink-3">{group.id}</span>,
                  },
                ]}
              />
            </>
          )
        }
      </Section>
      {creating && <CreateGroup onClose={() => setCreating(false)} />}
      {open && <GroupPanel group={open} onClose={() => setOpen(undefined)} />}
    </Card>
  )
}

function CreateGroup({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState('')
  const [review, setReview] = useState(false)
  const close = useUnsaved(name !== '', onClose)
  return (
    <Dialog title={m.addGroup} onClose={close}>
      <Form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          setReview(true)
        }}
      >
        <TextField label={m.name} value={name} onChange={setName} isRequired autoFocus />
        <div className="flex justify-end gap-2">
          <Button onPress={close}>{m.cancel}</Button>
          <Button type="submit" variant="primary">
            {m.review}
          </Button>
        </div>
      </Form>
      {review && (
        <ReviewDialog
          title={m.addGroup}
          writes={[createGroup(name.trim())]}
          confirm={m.create}
          done={m.done}
          onClose={() => setReview(false)}
          onDone={onClose}
        />
      )}
    </Dialog>
  )
}
