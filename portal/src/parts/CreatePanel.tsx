import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { type ReactNode, useState } from 'react'
import { Form } from 'react-aria-components'
import { fleetQueries } from '../api/queries/fleet.ts'
import type { ResourceGroup } from '../api/types.ts'
import type { Write } from '../api/writes.ts'
import { messages } from '../app/i18n.ts'
import { useScope } from '../app/scope.ts'
import { useUnsaved } from '../app/unsaved.ts'
import { ReviewDialog } from './ReviewDialog.tsx'
import { Section } from './Section.tsx'
import { Button } from '../ui/Button.tsx'
import { Select } from '../ui/Select.tsx'
import { SidePanel } from '../ui/SidePanel.tsx'
import { TextField } from '../ui/TextField.tsx'

const m = messages({
  name: { en: 'Name', ja: '名前' },
  nameBad: {
    en: 'Letters, digits, and . _ - inside; at most 80.',
    ja: '英数字と . _ - を使用できます（80 文字以内）。',
  },
  group: { en: 'Resource group', ja: 'リソース グループ' },
  cancel: { en: 'Cancel', ja: 'キャンセル' },
  review: { en: 'Review the effect', ja: '影響を確認' },
  createNamed: { en: (name: string) => `Create ${name}`, ja: (name: string) => `${name} を作成` },
  created: { en: (name: string) => `${name} was created.`, ja: (name: string) => `${name} を作成しました。` },
})

type Props<T> = {
  title: string
  /** What is sent for a name in a group. */
  create: (group: ResourceGroup, name: string) => Write<T>
  /** Whether something in `children` would be lost. */
  isTouched?: boolean
  /** Whether `children` can be sent as they are. */
  isReady?: boolean
  /** Fields beside name and group. */
  children?: ReactNode
  onClose: () => void
}

/** Makes a resource in a resource group; its page opens. */
export function CreatePanel<T>({ title, create, isTouched = false, isReady = true, children, onClose }: Props<T>) {
  const navigate = useNavigate()
  const { subscriptionId, resourceGroup } = useScope()
  const groups = useQuery(fleetQueries.resourceGroups(subscriptionId))
  const [name, setName] = useState('')
  const [chosenGroup, setGroup] = useState<string>()
  const [write, setWrite] = useState<Write<T>>()
  const close = useUnsaved(name !== '' || chosenGroup !== undefined || isTouched, onClose)

  const groupName = chosenGroup ?? resourceGroup ?? groups.data?.[0]?.name ?? ''
  const group = groups.data?.find((item) => item.name.toLowerCase() === groupName.toLowerCase())
  const bad = name !== '' && !/^[a-z0-9]([\w.-]{0,78}\w)?$/i.test(name)
  return (
    <SidePanel title={title} onClose={close}>
      <Form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          if (group && !bad && isReady) setWrite(create(group, name))
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
        {children}
        <div className="flex justify-end gap-2">
          <Button onPress={close}>{m.cancel}</Button>
          <Button type="submit" variant="primary" isDisabled={name === '' || bad || !group || !isReady}>
            {m.review}
          </Button>
        </div>
      </Form>
      {write && (
        <ReviewDialog
          title={title}
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
