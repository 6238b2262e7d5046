import { useState } from 'react'
import { Form } from 'react-aria-components'
import { createLink } from '../../api/queries/bastionLinks.ts'
import type { ShareableLink } from '../../api/types.ts'
import { nameOf } from '../../domain/armId.ts'
import { type DesktopProtocol, isAccount } from '../../domain/bastion.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Button } from '../../ui/Button.tsx'
import { Checkbox } from '../../ui/Checkbox.tsx'
import { CodeBlock } from '../../ui/CodeBlock.tsx'
import { Segments } from '../../ui/Segments.tsx'
import { Select } from '../../ui/Select.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { l } from './linkMessages.ts'
import { m } from './messages.ts'

const freshFor = 'PT10M'

/** Makes a link that lends a login, and shows it once. */
export default function LinkPanel(props: { host: string; machine: string; account: string; onClose: () => void }) {
  const { host, machine, onClose } = props
  const [account, setAccount] = useState(props.account)
  const [duration, setDuration] = useState('PT8H')
  const [isOnce, setOnce] = useState(false)
  const [isFresh, setFresh] = useState(false)
  const [from, setFrom] = useState('')
  const [review, setReview] = useState(false)
  const [made, setMade] = useState<ShareableLink>()
  const [shows, setShows] = useState<'ssh' | DesktopProtocol>('ssh')
  const bad = account !== '' && !isAccount(account)
  const hasAccount = shows !== 'vnc'
  const isReady = !hasAccount || (account !== '' && !bad)
  const write = createLink({
    host,
    machine,
    account: hasAccount ? account : undefined,
    desktop: shows === 'ssh' ? undefined : { protocol: shows },
    duration,
    maximumUses: isOnce ? 1 : undefined,
    multiFactorMaxAge: isFresh ? freshFor : undefined,
    from: from.split(/\s+/).filter(Boolean),
  })
  const lasts = { PT1H: l.hour1, PT8H: l.hours8, P1D: l.day1, P7D: l.days7 }

  if (made) {
    return (
      <SidePanel
        title={l.made}
        subtitle={nameOf(machine)}
        onClose={onClose}
        footer={
          <Button variant="primary" onPress={onClose}>
            {l.close}
          </Button>
        }
      >
        <div className="flex flex-col gap-3">
          <p className="text-sm">{l.madeWhy}</p>
          <CodeBlock label={l.link} copyLabel={l.copy} code={made.bsl ?? ''} />
        </div>
      </SidePanel>
    )
  }
  return (
    <SidePanel title={l.title} subtitle={nameOf(machine)} onClose={onClose}>
      <Form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          if (isReady) setReview(true)
        }}
      >
        <p className="text-sm text-ink-2">{l.why}</p>
        <Segments
          label={l.shows}
          value={shows}
          onChange={setShows}
          options={(['ssh', 'rdp', 'vnc'] as const).map((id) => ({ id, label: l[id] }))}
        />
        {hasAccount && (
          <TextField
            label={l.account}
            value={account}
            onChange={setAccount}
            error={bad ? m.accountBad : undefined}
            autoComplete="off"
            mono
          />
        )}
        {shows !== 'ssh' && <p className="text-sm text-ink-2">{l.passwordWhy}</p>}
        <Select
          label={l.lasts}
          value={duration}
          onChange={setDuration}
          options={Object.entries(lasts).map(([id, label]) => ({ id, label }))}
        />
        <Checkbox isSelected={isOnce} onChange={setOnce}>
          {l.once}
        </Checkbox>
        <Checkbox isSelected={isFresh} onChange={setFresh}>
          {l.fresh}
        </Checkbox>
        <TextField label={l.from} hint={l.fromHint} value={from} onChange={setFrom} rows={3} mono />
        <div className="flex justify-end gap-2">
          <Button onPress={onClose}>{l.cancel}</Button>
          <Button type="submit" variant="primary" isDisabled={!isReady}>
            {l.review}
          </Button>
        </div>
      </Form>
      {review && (
        <ReviewDialog<ShareableLink | undefined>
          title={l.title}
          writes={[write]}
          run={async (send) => (await send(write)).value[0]}
          confirm={l.confirm}
          done={l.made}
          onClose={() => setReview(false)}
          onDone={setMade}
        />
      )}
    </SidePanel>
  )
}
