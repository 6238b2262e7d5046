import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { resourceWrite } from '../../api/writes.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'

export function RetireDialog({ id, name, onClose }: { id: string; name: string; onClose: () => void }) {
  const navigate = useNavigate()
  const [typed, setTyped] = useState('')
  return (
    <ReviewDialog
      title={m.retireTitle(name)}
      writes={[resourceWrite('DELETE', id)]}
      confirm={m.retire}
      isDisabled={typed !== name}
      done={m.retired(name)}
      onDone={() => void navigate({ to: '/machines' })}
      onClose={onClose}
    >
      <p className="text-sm">{m.retireWhy}</p>
      <TextField label={m.typeName(name)} value={typed} onChange={setTyped} autoFocus autoComplete="off" mono />
    </ReviewDialog>
  )
}
