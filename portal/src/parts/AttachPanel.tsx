import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { networkQueries } from '../api/queries/network.ts'
import type { NetworkInterface } from '../api/types.ts'
import { resourceWrite } from '../api/writes.ts'
import { messages } from '../app/i18n.ts'
import { useScope } from '../app/scope.ts'
import { useUnsaved } from '../app/unsaved.ts'
import { sameId } from '../domain/armId.ts'
import { Button } from '../ui/Button.tsx'
import { Select } from '../ui/Select.tsx'
import { SidePanel } from '../ui/SidePanel.tsx'
import { ReviewDialog } from './ReviewDialog.tsx'
import { Section } from './Section.tsx'

const m = messages({
  title: { en: 'Security group of this interface', ja: 'NIC のセキュリティ グループ' },
  group: { en: 'Network security group', ja: 'ネットワーク セキュリティ グループ' },
  none: { en: 'None', ja: 'なし' },
  why: {
    en: 'An interface has at most one security group; rules of its subnet are evaluated as well.',
    ja: '1 つの NIC に関連付けられるグループは 1 つです。サブネットの規則も併せて評価されます。',
  },
  review: { en: 'Review the effect', ja: '影響を確認' },
  cancel: { en: 'Cancel', ja: 'キャンセル' },
  reviewTitle: {
    en: (nic: string) => `Security group of ${nic}`,
    ja: (nic: string) => `${nic} のセキュリティ グループ`,
  },
})

const none = '-'

export function AttachPanel({ nic, onClose }: { nic: NetworkInterface; onClose: () => void }) {
  const { subscriptionId } = useScope()
  const groups = useQuery(networkQueries.nsgs(subscriptionId))
  const current = nic.properties.networkSecurityGroup?.id
  const [chosen, setChosen] = useState(current ?? none)
  const [review, setReview] = useState(false)

  const write = resourceWrite('PUT', nic.id, {
    etag: nic.etag,
    body: { ...nic, properties: { ...nic.properties, networkSecurityGroup: chosen === none ? null : { id: chosen } } },
  })
  const same = chosen === none ? !current : sameId(chosen, current)
  const close = useUnsaved(!same, onClose)
  return (
    <SidePanel
      title={m.title}
      subtitle={nic.name}
      onClose={close}
      footer={
        <>
          <Button onPress={close}>{m.cancel}</Button>
          <Button variant="primary" isDisabled={same} onPress={() => setReview(true)}>
            {m.review}
          </Button>
        </>
      }
    >
      <Section query={groups}>
        {(all) => {
          const options = all.map((group) => ({ id: group.id, label: group.name }))
          const value = options.find((option) => sameId(option.id, chosen))?.id ?? chosen
          return (
            <div className="flex flex-col gap-3">
              <Select
                label={m.group}
                value={value}
                onChange={setChosen}
                options={[{ id: none, label: m.none }, ...options]}
              />
              <p className="text-xs text-ink-2">{m.why}</p>
            </div>
          )
        }}
      </Section>
      {review && (
        <ReviewDialog
          title={m.reviewTitle(nic.name)}
          writes={[write]}
          onClose={() => setReview(false)}
          onDone={onClose}
        />
      )}
    </SidePanel>
  )
}
