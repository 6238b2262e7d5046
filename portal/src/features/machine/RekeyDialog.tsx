import { useState } from 'react'
import { rekeyMachine } from '../../api/queries/fleet.ts'
import type { RekeyedMachine } from '../../api/types.ts'
import { dateTime } from '../../app/format.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Button } from '../../ui/Button.tsx'
import { CodeBlock } from '../../ui/CodeBlock.tsx'
import { Dialog } from '../../ui/Dialog.tsx'
import { m } from './messages.ts'

/** Takes a machine's key away and shows, this once, what lets the right machine join again. */
export function RekeyDialog({ id, name, onClose }: { id: string; name: string; onClose: () => void }) {
  const [write] = useState(() => rekeyMachine(id))
  const [made, setMade] = useState<RekeyedMachine>()
  if (!made) {
    return (
      <ReviewDialog<RekeyedMachine>
        title={m.rekeyTitle(name)}
        writes={[write]}
        run={(send) => send(write)}
        confirm={m.rekeyDo}
        onClose={onClose}
        onDone={setMade}
      >
        <p className="text-sm">{m.rekeyWhy}</p>
      </ReviewDialog>
    )
  }
  return (
    <Dialog title={m.rekeyTitle(name)} onClose={onClose} footer={<Button onPress={onClose}>{m.close}</Button>}>
      <div className="flex flex-col gap-4">
        <p className="rounded-lg bg-med-soft px-3 py-2 text-sm">{m.rekeyOnce}</p>
        <CodeBlock label={m.joinCommand} copyLabel={m.copy} code="sekisho-agent join" />
        <CodeBlock label={m.joinString} copyLabel={m.copy} code={made.joinString} />
        <p className="text-sm text-ink-2">{m.expires(dateTime(made.expiresAt))}</p>
      </div>
    </Dialog>
  )
}
