import { ListChecks } from 'lucide-react'
import { lazy, Suspense, useRef, useState } from 'react'
import { Button } from 'react-aria-components'
import { cx } from '../ui/cx.ts'
import { plural, num } from './format.ts'
import { messages } from './i18n.ts'
import { followedSubscriptions, isUnderWay, type Operation, useOperations } from './operations.ts'

const OperationTray = lazy(() => import('./OperationTray.tsx'))
const FollowMachines = lazy(() => import('./FollowMachines.tsx'))

const m = messages({
  title: { en: 'Operations', ja: '操作の状況' },
  underWay: {
    en: (count: number) => `Operations, ${plural(count, 'under way', 'under way')}`,
    ja: (count: number) => `操作の状況（進行中 ${num(count)} 件）`,
  },
  sending: { en: (name: string) => `${name}: saving`, ja: (name: string) => `${name}: 保存しています` },
  applying: {
    en: (name: string) => `${name}: saved, machines apply it`,
    ja: (name: string) => `${name}: 保存しました。マシンに適用しています`,
  },
  done: { en: (name: string) => `${name}: done`, ja: (name: string) => `${name}: 完了しました` },
  failed: { en: (name: string) => `${name}: failed`, ja: (name: string) => `${name}: 失敗しました` },
  lost: { en: (name: string) => `${name}: outcome unknown`, ja: (name: string) => `${name}: 結果が不明です` },
})

const latest = (operations: readonly Operation[]) =>
  operations.toSorted((a, b) => (b.endedAt ?? b.startedAt).localeCompare(a.endedAt ?? a.startedAt))[0]

/** Opens the tray, and says aloud what becomes of what was saved. */
export function OperationButton() {
  const operations = useOperations()
  const button = useRef<HTMLButtonElement>(null)
  const [open, setOpen] = useState(false)
  const count = operations.filter(isUnderWay).length
  const failed = operations.some(({ state }) => state === 'failed' || state === 'lost')
  const news = latest(operations)
  return (
    <>
      <Button
        ref={button}
        onPress={() => setOpen((was) => !was)}
        aria-expanded={open}
        aria-haspopup="dialog"
        aria-label={count > 0 ? m.underWay(count) : m.title}
        className="relative grid size-8 shrink-0 place-items-center rounded-md text-ink-2 hover:bg-sunken hover:text-ink"
      >
        <ListChecks size={16} aria-hidden />
        {(count > 0 || failed) && (
          <span
            aria-hidden
            className={cx(
              'tnum absolute -top-0.5 -right-0.5 grid h-4 min-w-4 place-items-center rounded-full px-1 text-2xs font-semibold',
              failed ? 'bg-crit text-white dark:text-[#25060d]' : 'bg-accent text-accent-ink',
            )}
          >
            {count > 0 ? num(count) : '!'}
          </span>
        )}
      </Button>
      <Suspense>{open && <OperationTray trigger={button} onClose={() => setOpen(false)} />}</Suspense>
      <span className="sr-only" aria-live="polite">
        {news && m[news.state](news.target.name)}
      </span>
      <Suspense>
        {followedSubscriptions(operations).map((id) => (
          <FollowMachines key={id} subscriptionId={id} />
        ))}
      </Suspense>
    </>
  )
}
