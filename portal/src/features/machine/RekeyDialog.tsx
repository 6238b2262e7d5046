import { useMutation, useQueryClient } from '@tanstack/react-query'
import { rekeyMachine } from '../../api/queries/fleet.ts'
import { dateTime } from '../../app/format.ts'
import { Button } from '../../ui/Button.tsx'
import { CodeBlock } from '../../ui/CodeBlock.tsx'
import { Dialog } from '../../ui/Dialog.tsx'
import { ErrorNote } from '../../ui/ErrorNote.tsx'
import { m } from './messages.ts'

/** Takes a machine's key away and shows, this once, what lets the right machine join again. */
export function RekeyDialog({ id, name, onClose }: { id: string; name: string; onClose: () => void }) {
  const client = useQueryClient()
  const rekey = useMutation({
    mutationFn: () => rekeyMachine(id),
    onSuccess: () => void client.invalidateQueries(),
  })
  return (
    <Dialog
      role="alertdialog"
      title={m.rekeyTitle(name)}
      onClose={onClose}
      footer={
        <>
          <Button onPress={onClose}>{rekey.data ? m.close : m.cancel}</Button>
          {!rekey.data && (
            <Button variant="danger" isPending={rekey.isPending} onPress={() => rekey.mutate()}>
              {m.rekeyDo}
            </Button>
          )}
        </>
      }
    >
      <div className="flex flex-col gap-4">
        {rekey.data ? (
          <>
            <p className="rounded-lg bg-med-soft px-3 py-2 text-sm">{m.rekeyOnce}</p>
            <CodeBlock label={m.joinCommand} copyLabel={m.copy} code="sekisho-agent join" />
            <CodeBlock label={m.joinString} copyLabel={m.copy} code={rekey.data.joinString} />
            <p className="text-sm text-ink-2">{m.expires(dateTime(rekey.data.expiresAt))}</p>
          </>
        ) : (
          <p className="text-sm">{m.rekeyWhy}</p>
        )}
        {rekey.error && <ErrorNote error={rekey.error} />}
      </div>
    </Dialog>
  )
}
