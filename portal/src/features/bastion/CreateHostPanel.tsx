import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { Form } from 'react-aria-components'
import { createBastionHost } from '../../api/queries/bastion.ts'
import { fleetQueries } from '../../api/queries/fleet.ts'
import type { BastionHost } from '../../api/types.ts'
import type { Write } from '../../api/writes.ts'
import { useScope } from '../../app/scope.ts'
import { useUnsaved } from '../../app/unsaved.ts'
import { hostBody, newHost, sameDraft } from '../../domain/bastionHost.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Section } from '../../parts/Section.tsx'
import { Button } from '../../ui/Button.tsx'
import { Select } from '../../ui/Select.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { HostFields } from './HostFields.tsx'
import { m } from './messages.ts'

export function CreateHostPanel({ onClose }: { onClose: () => void }) {
  const navigate = useNavigate()
  const { subscriptionId, resourceGroup } = useScope()
  const groups = useQuery(fleetQueries.resourceGroups(subscriptionId))
  const [name, setName] = useState('')
  const [chosenGroup, setGroup] = useState<string>()
  const [draft, setDraft] = useState(newHost)
  const [write, setWrite] = useState<Write<BastionHost>>()
  const close = useUnsaved(name !== '' || chosenGroup !== undefined || !sameDraft(draft, newHost), onClose)

  const groupName = chosenGroup ?? resourceGroup ?? groups.data?.[0]?.name ?? ''
  const group = groups.data?.find((item) => item.name.toLowerCase() === groupName.toLowerCase())
  const bad = name !== '' && !/^[a-z0-9]([\w.-]{0,78}\w)?$/i.test(name)
  return (
    <SidePanel title={m.createTitle} onClose={close}>
      <Form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          if (group && !bad) setWrite(createBastionHost(group, name, hostBody(draft)))
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
        <Section query={groups} skeleton="h-8">
          {(all) => (
            <Select
              label={m.group}
              value={groupName}
              onChange={setGroup}
              options={all.map((item) => ({ id: item.name, label: item.name, detail: item.location }))}
            />
          )}
        </Section>
        <HostFields draft={draft} onChange={setDraft} />
        <div className="flex justify-end gap-2">
          <Button onPress={close}>{m.cancel}</Button>
          <Button type="submit" variant="primary" isDisabled={name === '' || bad || !group}>
            {m.review}
          </Button>
        </div>
      </Form>
      {write && (
        <ReviewDialog
          title={m.createTitle}
          writes={[write]}
          confirm={m.createNamed(name)}
          done={m.created(name)}
          onClose={() => setWrite(undefined)}
          onDone={() => void navigate({ to: '/r/$', params: { _splat: write.target.id?.slice(1) ?? '' }, search: {} })}
        />
      )}
    </SidePanel>
  )
}
