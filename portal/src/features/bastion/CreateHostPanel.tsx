import { useState } from 'react'
import { createBastionHost } from '../../api/queries/bastion.ts'
import { hostBody, isComplete, newHost, sameDraft } from '../../domain/bastionHost.ts'
import { CreatePanel } from '../../parts/CreatePanel.tsx'
import { HostFields } from './HostFields.tsx'
import { m } from './messages.ts'

export function CreateHostPanel({ onClose }: { onClose: () => void }) {
  const [draft, setDraft] = useState(newHost)
  return (
    <CreatePanel
      title={m.createTitle}
      create={(group, name) => createBastionHost(group, name, hostBody(draft))}
      isTouched={!sameDraft(draft, newHost)}
      isReady={isComplete(draft)}
      onClose={onClose}
    >
      <HostFields draft={draft} onChange={setDraft} />
    </CreatePanel>
  )
}
