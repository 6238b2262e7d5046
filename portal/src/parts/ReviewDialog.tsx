import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { WifiOff } from 'lucide-react'
import type { ReactNode } from 'react'
import { ApiError } from '../api/errors.ts'
import { authQueries } from '../api/queries/auth.ts'
import { type Preview, type Reviewed, review, type Send, type Write } from '../api/writes.ts'
import { useLive } from '../app/events.ts'
import { num, plural } from '../app/format.ts'
import { messages } from '../app/i18n.ts'
import { carryOut } from '../app/operations.ts'
import { toast } from '../app/toast.ts'
import { forgetEdits } from '../app/unsaved.ts'
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
  saved: { en: 'Saved.', ja: '保存しました。' },
  applied: {
    en: (count: number) => `Saved. ${plural(count, 'machine applies', 'machines apply')} the new rules now.`,
    ja: (count: number) => `保存しました。${num(count)} 台に新しい規則を適用しています。`,
  },
  offline: {
    en: 'The server cannot be reached; nothing can be saved until it is back.',
    ja: 'サーバーに接続できません。再接続するまで保存できません。',
  },
})

type Props<T> = {
  title: ReactNode
  writes: readonly Write[]
  /** What else to know before deciding. */
  children?: ReactNode
  /** What happens after these writes and can only be tried when they are done. */
  follows?: string[]
  /** The button's words where the effect on machines does not name them. */
  confirm?: string
  /** Something has to be typed first, for instance. */
  isDisabled?: boolean
  /** In place of one write after the other, when one's answer is needed for the next. */
  run?: (send: Send) => Promise<T>
  /** Says that it worked. */
  done?: string
  /** A failure that the person chose themselves is none. */
  isNoError?: (error: unknown) => boolean
  onClose: () => void
  onDone: (answer: T) => void
}

const affected = ({ machines, otherMachines }: Preview) =>
  machines.filter((machine) => machine.changes.length > 0).length + otherMachines

/** One after the other: a failure stops the rest, and what did happen is in the list behind. */
const inTurn = (writes: readonly Write[]) => async (send: Send) => {
  for (const write of writes) await send(write)
}

/** Every write passes here: first its effect, then the decision, and the button says what it will do. */
export function ReviewDialog<T = void>(props: Props<T>) {
  const { title, writes, children, follows = [], confirm, isDisabled = false, done, onClose, onDone } = props
  const client = useQueryClient()
  const live = useLive()
  const { dataUpdatedAt: signedInAtMs } = useQuery(authQueries.session())
  const reviewed = useQuery({
    queryKey: ['what-if', writes],
    queryFn: () => review(writes),
    gcTime: 0,
    retry: false,
    refetchOnMount: 'always',
  })
  const count = reviewed.data ? affected(reviewed.data.preview) : 0
  // The page of a deleted resource is about to be left; asking for it again could only fail.
  const deleted = new Set<unknown>(
    writes.filter(({ method }) => method === 'DELETE').map(({ target }) => target.id?.toLowerCase()),
  )
  deleted.delete(undefined)
  const apply = useMutation({
    mutationFn: (what: Reviewed) => carryOut(what, props.run ?? (inTurn(writes) as (send: Send) => Promise<T>)),
    onSettled: () =>
      client.invalidateQueries({
        predicate: ({ queryKey }) => queryKey[0] !== 'what-if' && !queryKey.some((part) => deleted.has(part)),
      }),
    onSuccess: (answer) => {
      toast(count > 0 ? m.applied(count) : (done ?? m.saved))
      forgetEdits()
      onDone(answer)
    },
  })
  const deletes = writes.every((write) => write.method === 'DELETE')
  const unconcerned = deletes ? m.removeOnly : m.save
  const label = confirm ?? (count === 0 ? unconcerned : deletes ? m.remove(count) : m.apply(count))
  const offline = live.state === 'offline'
  const signedInSince =
    apply.error instanceof ApiError && apply.error.status === 401 && signedInAtMs > apply.submittedAt
  const error = signedInSince || props.isNoError?.(apply.error) ? null : apply.error

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
          {reviewed.data && (
            <Button
              variant={deletes ? 'danger' : 'primary'}
              isPending={apply.isPending}
              isDisabled={isDisabled || offline}
              onPress={() => apply.mutate(reviewed.data)}
            >
              {label}
            </Button>
          )}
        </>
      }
    >
      <div className="flex flex-col gap-4">
        {children}
        <Section query={reviewed}>
          {({ preview }) => <ChangeReview preview={preview} writes={writes} follows={follows} />}
        </Section>
        {offline && (
          <p role="status" className="flex items-center gap-2 rounded-lg bg-med-soft px-3 py-2 text-sm">
            <WifiOff size={15} className="shrink-0 text-med" aria-hidden />
            {m.offline}
          </p>
        )}
        {error && <ErrorNote error={error} />}
      </div>
    </Dialog>
  )
}
