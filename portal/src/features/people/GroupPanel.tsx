import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { X } from 'lucide-react'
import { useState } from 'react'
import { types } from '../../api/keys.ts'
import { addMember, directoryQueries, removeMember } from '../../api/queries/directory.ts'
import type { Group } from '../../api/types.ts'
import { Section } from '../../parts/Section.tsx'
import { usePrincipalNames } from '../../parts/usePrincipalNames.ts'
import { Button } from '../../ui/Button.tsx'
import { ComboBox } from '../../ui/ComboBox.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { ErrorNote } from '../../ui/ErrorNote.tsx'
import { IconButton } from '../../ui/IconButton.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { m } from './messages.ts'

export function GroupPanel({ group, onClose }: { group: Group; onClose: () => void }) {
  const client = useQueryClient()
  const members = useQuery(directoryQueries.members(group.id))
  const { principals } = usePrincipalNames()
  const [chosen, setChosen] = useState('')
  const refresh = () => client.invalidateQueries({ queryKey: [types.group, group.id] })
  const add = useMutation({
    mutationFn: () => addMember(group.id, chosen),
    onSuccess: () => {
      setChosen('')
      return refresh()
    },
  })
  const remove = useMutation({ mutationFn: (id: string) => removeMember(group.id, id), onSuccess: refresh })
  const error = add.error ?? remove.error
  const present = new Set(members.data?.map((member) => member.id))
  const options = principals
    .filter((principal) => principal.type !== 'Group' && !present.has(principal.id))
    .map((principal) => ({ id: principal.id, label: principal.name, detail: principal.detail }))
  return (
    <SidePanel title={group.displayName} subtitle={m.members} onClose={onClose}>
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
          <Button variant="primary" isDisabled={chosen === ''} isPending={add.isPending} onPress={() => add.mutate()}>
            {m.addMember}
          </Button>
        </div>
        {error && <ErrorNote error={error} />}
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
                    <IconButton label={`${m.remove} ${member.displayName}`} onPress={() => remove.mutate(member.id)}>
                      <X size={14} aria-hidden />
                    </IconButton>
                  </li>
                ))}
              </ul>
            )
          }
        </Section>
      </div>
    </SidePanel>
  )
}
