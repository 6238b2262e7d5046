import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { applyChange, type Change, type Preview, previewChanges } from '../api/changes.ts'
import { types } from '../api/keys.ts'
import { plural, num } from '../app/format.ts'
import { messages } from '../app/i18n.ts'
import { toast } from '../app/toast.ts'
import { Button } from '../ui/Button.tsx'
import { Dialog } from '../ui/Dialog.tsx'
import { ErrorNote } from '../ui/ErrorNote.tsx'
import { ChangeReview } from './ChangeReview.tsx'
import { Section } from './Section.tsx'

const m = messages({
  dryRun: { en: 'This is a preview. Nothing has changed yet.', ja: 'これはプレビューです。まだ何も変更していません。' },
  cancel: { en: 'Cancel', ja: 'キャンセル' },
  apply: {
    en: (count: number) => `Apply to ${plural(count, 'machine', 'machines')}`,
    ja: (count: number) => `${num(count)} 台に適用`,
  },
  save: { en: 'Save; no machine is affected', ja: '保存（影響するマシンなし）' },
  remove: {
    en: (count: number) => `Delete and apply to ${plural(count, 'machine', 'machines')}`,
    ja: (count: number) => `削除して ${num(count)} 台に適用`,
  },
  removeOnly: { en: 'Delete; no machine is affected', ja: '削除（影響するマシンなし）' },
  applied: {
    en: (count: number) =>
      count === 0 ? 'Saved.' : `Saved. ${plural(count, 'machine applies', 'machines apply')} the new rules now.`,
    ja: (count: number) =>
      count === 0 ? '保存しました。' : `保存しました。${num(count)} 台に新しい規則を適用しています。`,
  },
})

type Props = { title: ReactNode; changes: Change[]; onClose: () => void; onDone: () => void }

const affected = (whatIf: Preview | undefined) =>
  whatIf ? whatIf.machines.filter((machine) => machine.changes.length > 0).length + whatIf.otherMachines : 0

const networkTypes = new Set<unknown>([
  types.nsg,
  types.nic,
  types.vnet,
  types.effectiveRules,
  types.machine,
  types.machineRow,
  types.activity,
])

/** Every network write passes here: first its effect, then the decision, and the button says what it will do. */
export function ReviewDialog({ title, changes, onClose, onDone }: Props) {
  const client = useQueryClient()
  const preview = useQuery({
    queryKey: ['what-if', changes],
    queryFn: () => previewChanges(changes),
    gcTime: 0,
    retry: false,
    refetchOnMount: 'always',
  })
  const count = affected(preview.data)
  // The page of a deleted resource is about to be left; asking for it again could only fail.
  const deleted = new Set<unknown>(
    changes.filter(({ method }) => method === 'DELETE').map(({ id }) => id.toLowerCase()),
  )
  const apply = useMutation({
    // One after the other: a failure stops the rest, and what did happen is in the list behind.
    mutationFn: async () => {
      for (const change of changes) await applyChange(change)
    },
    onSettled: () =>
      client.invalidateQueries({ predicate: ({ queryKey: [type, id] }) => networkTypes.has(type) && !deleted.has(id) }),
    onSuccess: () => {
      toast(m.applied(count))
      onDone()
    },
  })
  const deletes = changes.every((change) => change.method === 'DELETE')
  const label = deletes ? (count > 0 ? m.remove(count) : m.removeOnly) : count > 0 ? m.apply(count) : m.save

  return (
    <Dialog
      wide
      title={title}
      subtitle={m.dryRun}
      onClose={apply.isPending ? undefined : onClose}
      footer={
        <>
          <Button onPress={onClose} isDisabled={apply.isPending}>
            {m.cancel}
          </Button>
          {preview.data && (
            <Button variant={deletes ? 'danger' : 'primary'} isPending={apply.isPending} onPress={() => apply.mutate()}>
              {label}
            </Button>
          )}
        </>
      }
    >
      <Section query={preview}>{(whatIf) => <ChangeReview whatIf={whatIf} />}</Section>
      {apply.error && <ErrorNote error={apply.error} />}
    </Dialog>
  )
}
