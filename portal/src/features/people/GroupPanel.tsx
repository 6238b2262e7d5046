import { useQuery } from '@tanstack/react-query'
import { X } from 'lucide-react'
import { useState } from 'react'
import { addMember, directoryQueries, removeMember } from '../../api/queries/directory.ts'
import type { Group } from '../../api/types.ts'
import type { Write } from '../../api/writes.ts'
import { useUnsaved } from '../../app/unsaved.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { usePrincipalNames } from '../../parts/usePrincipalNames.ts'
import { Button } from '../../ui/Button.tsx'
import { ComboBox } from '../../ui/ComboBox.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { IconButton } from '../../ui/IconButton.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { m } from './messages.ts'

export function GroupPanel({ group, onClose }: { group: Group; onClose: () => void }) {
  const members = useQuery(directoryQueries.members(group.id))
  const { principals, nameOf } = usePrincipalNames()
  const [chosen, setChosen] = useState('')
  const [review, setReview] = useState<{ write: Write; title: string; confirm: string }>()
  const close = useUnsaved(chosen !== '', onClose)
  const add = () =>
    setReview({
      write: addMember(group, chosen),
      title: m.addTitle(nameOf(chosen), group.displayName),
      confirm: m.addMember,
    })
  const remove = (id: string, name: string) =>
    setReview({
      write: removeMember(group, id),
      title: m.takeTitle(name, group.displayName),
      confirm: m.remove,
    })
  const present = new Set(members.data?.map((member) => member.id))
  const options = principals
    .filter((principal) => principal.type !== 'Group' && !present.has(principal.id))
    .map((principal) => ({ id: principal.id, label: principal.name, detail: principal.detail }))
  return (
    <SidePanel title={group.displayName} subtitle={m.members} onClose={close}>
      <div className="flex flex-col gap-4">
        <div className="flex items-end gap-2">
          <ComboBox
            key={`${options.length} ${present.size}`}
            className="flex-1"
            label={m.newMember}
            options={options}
            value={chosen}
            onChange={setChosen}
            empty={m.noOption}
          />
          <Button variant="primary" isDisabled={chosen === ''} onPress={add}>
            {m.addMember}
          </Button>
        </div>
        <Section query={members}>
          {(all) =>
            all.length === 0 ? (
              <EmptyState title={m.noMembers} />
            ) : (
              <ul className="divide-y divide-line rounded-lg border border-line">
                {all.map((member) => (
                  <li key={member.id} className="flex items-center justify-between gap-2 py-1 pr-1 pl-3 text-sm">
                    <span className="min-w-0 truncate">
                      <span className="font-medium">{member.displayName}</span>
                      <span className="ml-2 text-xs text-ink-3">
                        {'userPrincipalName' in member && member.userPrincipalName}
                      </span>
                    </span>
                    <IconButton
                      label={`${m.remove} ${member.displayName}`}
                      onPress={() => remove(member.id, member.displayName)}
                    >
                      <X size={14} aria-hidden />
                    </IconButton>
                  </li>
                ))}
              </ul>
            )
          }
        </Section>
      </div>
      {review && (
        <ReviewDialog
          title={review.title}
          writes={[review.write]}
          confirm={review.confirm}
          done={m.done}
          onClose={() => setReview(undefined)}
          onDone={() => {
            setReview(undefined)
            setChosen('')
          }}
        />
      )}
    </SidePanel>
  )
}
