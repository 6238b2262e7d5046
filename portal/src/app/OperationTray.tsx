import { Link } from '@tanstack/react-router'
import { CircleAlert, CircleCheck, CircleHelp, LoaderCircle, ServerCog } from 'lucide-react'
import type { ReactNode, RefObject } from 'react'
import { Dialog, Popover } from 'react-aria-components'
import { operationText } from '../parts/operationText.ts'
import { ResourceLink } from '../parts/ResourceLink.tsx'
import { Button } from '../ui/Button.tsx'
import { ErrorNote } from '../ui/ErrorNote.tsx'
import type { Follower } from '../domain/convergence.ts'
import { ago, dateTime, num, plural } from './format.ts'
import { messages } from './i18n.ts'
import { errorOf, forgetEnded, isUnderWay, type Operation, useOperations } from './operations.ts'

const m = messages({
  title: { en: 'Operations', ja: '操作の状況' },
  why: { en: 'What you did in this tab', ja: 'このタブで行った操作' },
  none: { en: 'Nothing has been changed from this tab yet.', ja: 'このタブで行った操作はまだありません。' },
  clear: { en: 'Clear ended ones', ja: '終了した操作を消去' },
  named: {
    en: (what: string, name: string) => `${what}: ${name}`,
    ja: (what: string, name: string) => `${what}: ${name}`,
  },
  more: { en: (count: number) => `and ${num(count)} more`, ja: (count: number) => `ほか ${num(count)} 件` },
  sending: { en: 'Saving', ja: '保存中' },
  applying: { en: 'Machines apply it', ja: 'マシンに適用中' },
  done: { en: 'Done', ja: '完了' },
  failed: { en: 'Failed', ja: '失敗' },
  lost: { en: 'Outcome unknown', ja: '結果不明' },
  lostWhy: {
    en: 'The page was reloaded before the answer came. The activity log says what happened.',
    ja: '応答を受け取る前にページが再読み込みされました。結果はアクティビティ ログで確認できます。',
  },
  log: { en: 'Activity log', ja: 'アクティビティ ログ' },
  obey: {
    en: (obeying: number, total: number) => `${num(obeying)} of ${plural(total, 'machine obeys', 'machines obey')}`,
    ja: (obeying: number, total: number) => `${num(total)} 台中 ${num(obeying)} 台が適用済み`,
  },
  obeyGeneration: {
    en: (obeying: number, total: number, generation: number) =>
      `${num(obeying)} of ${plural(total, 'machine obeys', 'machines obey')} generation ${num(generation)}`,
    ja: (obeying: number, total: number, generation: number) =>
      `${num(total)} 台中 ${num(obeying)} 台が世代 ${num(generation)} を適用済み`,
  },
  failing: {
    en: (count: number) => `${plural(count, 'machine', 'machines')} could not apply it`,
    ja: (count: number) => `${num(count)} 台は適用に失敗`,
  },
  away: {
    en: (count: number) =>
      `${plural(count, 'machine is', 'machines are')} offline and will apply it after reconnecting`,
    ja: (count: number) => `${num(count)} 台はオフライン（再接続後に適用）`,
  },
  unseen: {
    en: (count: number) => `${plural(count, 'more machine', 'more machines')} that you may not see`,
    ja: (count: number) => `ほか閲覧権限のない ${num(count)} 台`,
  },
  machines: { en: 'Machines', ja: 'マシン' },
  generation: { en: (n: number) => `generation ${num(n)}`, ja: (n: number) => `世代 ${num(n)}` },
})

const stateText = messages({
  waiting: { en: 'applying', ja: '適用中' },
  obeys: { en: 'obeys', ja: '適用済み' },
  failed: { en: 'failed', ja: '失敗' },
  away: { en: 'offline', ja: 'オフライン' },
  gone: { en: 'retired', ja: '廃止済み' },
})

const icons: Record<Operation['state'], ReactNode> = {
  sending: <LoaderCircle size={16} className="animate-spin text-accent" aria-hidden />,
  applying: <ServerCog size={16} className="text-accent" aria-hidden />,
  done: <CircleCheck size={16} className="text-ok" aria-hidden />,
  failed: <CircleAlert size={16} className="text-crit" aria-hidden />,
  lost: <CircleHelp size={16} className="text-med" aria-hidden />,
}

/** Those that need somebody come first. */
const order: Record<Follower['state'], number> = { failed: 0, away: 1, waiting: 2, obeys: 3, gone: 4 }
const shownMachines = 40

type Props = { trigger: RefObject<HTMLElement | null>; onClose: () => void }

export default function OperationTray({ trigger, onClose }: Props) {
  const operations = useOperations()
  return (
    <Popover
      isOpen
      triggerRef={trigger}
      onOpenChange={(open) => !open && onClose()}
      placement="bottom end"
      className="w-[440px] max-w-[92vw] rounded-xl border border-line bg-raised shadow-pop"
    >
      <Dialog aria-label={m.title} className="outline-none">
        <header className="flex items-center justify-between gap-3 border-b border-line px-4 py-3">
          <div>
            <h2 className="text-sm font-semibold">{m.title}</h2>
            <p className="text-xs text-ink-2">{m.why}</p>
          </div>
          {operations.some((item) => !isUnderWay(item)) && (
            <Button size="sm" variant="ghost" onPress={forgetEnded}>
              {m.clear}
            </Button>
          )}
        </header>
        {operations.length === 0 ? (
          <p className="px-4 py-6 text-sm text-ink-2">{m.none}</p>
        ) : (
          <ul aria-label={m.title} className="max-h-[64vh] divide-y divide-line overflow-auto">
            {operations.map((item) => (
              <OperationRow key={item.id} operation={item} onClose={onClose} />
            ))}
          </ul>
        )}
      </Dialog>
    </Popover>
  )
}

function OperationRow({ operation, onClose }: { operation: Operation; onClose: () => void }) {
  const { target, state, error, total, obeying, failing, away, unseen, machines = {}, startedAt } = operation
  const { generation } = operation
  const progress = generation ? m.obeyGeneration(obeying, total, generation) : m.obey(obeying, total)
  const rows = Object.entries(machines).toSorted(([, a], [, b]) => order[a.state] - order[b.state])
  const name = target.id ? (
    <ResourceLink id={target.id} className="font-medium break-all text-accent" onClick={onClose} />
  ) : (
    <span className="font-medium break-all">{target.name}</span>
  )
  return (
    <li className="flex gap-3 px-4 py-3 text-sm">
      <span className="mt-0.5 shrink-0">{icons[state]}</span>
      <div className="flex min-w-0 flex-1 flex-col gap-1.5">
        <p className="flex items-baseline justify-between gap-3">
          <span className="font-medium">{operationText(operation.operation)}</span>
          <time dateTime={startedAt} title={dateTime(startedAt)} className="tnum shrink-0 text-xs text-ink-3">
            {ago(startedAt)}
          </time>
        </p>
        <p className="flex items-baseline justify-between gap-3">
          <span className="min-w-0">
            {name}
            {operation.more > 0 && <span className="ml-1.5 text-xs text-ink-2">{m.more(operation.more)}</span>}
          </span>
          <span className="shrink-0 text-xs text-ink-2">{m[state]}</span>
        </p>
        {total > 0 && state !== 'sending' && (
          <>
            <progress
              aria-label={progress}
              value={obeying}
              max={total}
              className="h-1.5 w-full appearance-none overflow-hidden rounded-full bg-line [&::-moz-progress-bar]:bg-ok [&::-webkit-progress-bar]:bg-line [&::-webkit-progress-value]:bg-ok"
            />
            <p className="tnum text-xs text-ink-2">{progress}</p>
          </>
        )}
        {failing > 0 && <p className="text-xs text-crit">{m.failing(failing)}</p>}
        {away > 0 && <p className="text-xs text-ink-2">{m.away(away)}</p>}
        {unseen > 0 && <p className="text-xs text-ink-2">{m.unseen(unseen)}</p>}
        {rows.length > 0 && (
          <details className="text-xs">
            <summary className="w-fit rounded text-ink-2 hover:text-ink">{m.machines}</summary>
            <ul className="mt-1 max-h-40 overflow-auto rounded-md border border-line">
              {rows.slice(0, shownMachines).map(([id, machine]) => (
                <li key={id} className="flex items-center justify-between gap-2 px-2 py-1">
                  <ResourceLink id={id} tab="network" className="truncate" onClick={onClose}>
                    {machine.name}
                  </ResourceLink>
                  <span className="shrink-0 text-ink-2">
                    {stateText[machine.state]}
                    <span className="ml-1.5 text-ink-3">{m.generation(machine.generation + 1)}</span>
                  </span>
                </li>
              ))}
              {rows.length > shownMachines && (
                <li className="px-2 py-1 text-ink-3">{m.more(rows.length - shownMachines)}</li>
              )}
            </ul>
          </details>
        )}
        {state === 'lost' && <p className="text-xs text-ink-2">{m.lostWhy}</p>}
        {error && <ErrorNote error={errorOf(error)} />}
        {(state === 'lost' || error) && (
          <Link
            to="/audit"
            search={error?.requestId ? { q: error.requestId } : {}}
            onClick={onClose}
            className="w-fit text-xs text-accent hover:underline"
          >
            {m.log}
          </Link>
        )}
      </div>
    </li>
  )
}
