import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { Form } from 'react-aria-components'
import { types } from '../../api/keys.ts'
import { fleetQueries } from '../../api/queries/fleet.ts'
import { createNsg } from '../../api/queries/network.ts'
import type { ResourceGroup } from '../../api/types.ts'
import { useScope } from '../../app/scope.ts'
import { toast } from '../../app/toast.ts'
import { Section } from '../../parts/Section.tsx'
import { Button } from '../../ui/Button.tsx'
import { ErrorNote } from '../../ui/ErrorNote.tsx'
import { Select } from '../../ui/Select.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'

export function CreateNsgPanel({ onClose }: { onClose: () => void }) {
  const { subscriptionId } = useScope()
  const groups = useQuery(fleetQueries.resourceGroups(subscriptionId))
  return (
    <SidePanel title={m.createTitle} onClose={onClose}>
      <Section query={groups}>{(data) => <CreateForm groups={data} onClose={onClose} />}</Section>
    </SidePanel>
  )
}

function CreateForm({ groups, onClose }: { groups: ResourceGroup[]; onClose: () => void }) {
  const client = useQueryClient()
  const navigate = useNavigate()
  const { resourceGroup } = useScope()
  const [name, setName] = useState('')
  const [groupName, setGroup] = useState(resourceGroup ?? groups[0]?.name ?? '')
  const group = groups.find((item) => item.name.toLowerCase() === groupName.toLowerCase())
  const bad = name !== '' && !/^[a-z0-9]([\w.-]{0,78}\w)?$/i.test(name)

  const create = useMutation({
    mutationFn: (target: ResourceGroup) => createNsg(target, name),
    onSuccess: (made) => {
      toast(m.created(made.name))
      void client.invalidateQueries({ queryKey: [types.nsg] })
      void navigate({ to: '/r/$', params: { _splat: made.id.slice(1) }, search: {} })
    },
  })
  return (
    <Form
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault()
        if (group && !bad) create.mutate(group)
      }}
    >
      <TextField
        label={m.name}
        value={name}
        onChange={setName}
        error={bad ? m.nameBad : undefined}
        isRequired
        autoFocus
        mono
      />
      <Select
        label={m.group}
        value={groupName}
        onChange={setGroup}
        options={groups.map((item) => ({ id: item.name, label: item.name, detail: item.location }))}
      />
      {create.error && <ErrorNote error={create.error} />}
      <div className="flex justify-end gap-2">
        <Button onPress={onClose}>{m.cancel}</Button>
        <Button type="submit" variant="primary" isDisabled={name === '' || bad || !group} isPending={create.isPending}>
          {m.create}
        </Button>
      </div>
    </Form>
  )
}
