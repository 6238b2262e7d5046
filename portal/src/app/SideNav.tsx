import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { jitWaiting } from '../api/queries/jitWaiting.ts'
import { cx } from '../ui/cx.ts'
import { Mark } from '../ui/Mark.tsx'
import { useLive } from './events.ts'
import { num, plural } from './format.ts'
import { messages } from './i18n.ts'
import { navGroups, navText } from './nav.ts'
import { useScope } from './scope.ts'

const m = messages({
  main: { en: 'Main', ja: 'メイン' },
  live: { en: 'Live', ja: 'ライブ更新中' },
  connecting: { en: 'Connecting', ja: '接続しています' },
  stale: { en: 'Not live', ja: 'ライブ更新停止中' },
  offline: { en: 'No connection', ja: '接続なし' },
  waiting: {
    en: (n: number) => `${plural(n, 'request waits', 'requests wait')} for you`,
    ja: (n: number) => `${num(n)} 件の要求があなたの承認を待っています`,
  },
})

const dots = { live: 'bg-[#5fd394]', connecting: 'bg-[#e6bd55]', stale: 'bg-[#ff7d97]', offline: 'bg-[#ff7d97]' }

export function SideNav({ path }: { path: string }) {
  const live = useLive()
  return (
    <aside className="row-span-2 flex min-h-0 flex-col bg-nav text-nav-ink">
      <Link to="/" className="flex h-[52px] shrink-0 items-center gap-2.5 px-4">
        <Mark />
        <span className="text-[15px] font-semibold tracking-tight text-white">Sekisho</span>
        <span className="mt-0.5 text-xs text-nav-ink/80">関所</span>
      </Link>
      <nav aria-label={m.main} className="min-h-0 flex-1 overflow-y-auto px-2.5 pb-4">
        {navGroups.map((group) => (
          <div key={group.text ?? 'top'} className="mt-3.5 first:mt-1.5">
            {group.text && <h2 className="px-2.5 pb-1 text-2xs font-medium text-nav-ink/75">{navText[group.text]}</h2>}
            <ul className="flex flex-col gap-px">
              {group.items.map(({ to, text, icon: Icon }) => {
                const current = to === '/' ? path === '/' : path.startsWith(to)
                return (
                  <li key={to}>
                    <Link
                      to={to}
                      aria-current={current ? 'page' : undefined}
                      className={cx(
                        'flex min-h-[30px] items-center gap-2.5 rounded-md px-2.5 py-1 text-sm',
                        current ? 'bg-nav-active font-medium text-white' : 'hover:bg-white/6 hover:text-white',
                      )}
                    >
                      <Icon
                        size={16}
                        strokeWidth={1.75}
                        aria-hidden
                        className={cx('shrink-0', current ? 'text-[#8fb0ff]' : 'opacity-80')}
                      />
                      <span>{navText[text]}</span>
                      {to === '/jit' && <Waiting />}
                    </Link>
                  </li>
                )
              })}
            </ul>
          </div>
        ))}
      </nav>
      <div className="flex items-center gap-2 border-t border-white/8 px-4 py-2.5 text-2xs" role="status">
        <span className={cx('size-1.5 rounded-full', dots[live.state])} />
        {m[live.state]}
        {live.version && <span className="tnum ml-auto opacity-75">v{live.version}</span>}
      </div>
    </aside>
  )
}

/** How many requests for access wait for the person. It is there before there are any, so that the first one is announced. */
function Waiting() {
  const { session, subscriptionId } = useScope()
  const { data } = useQuery(jitWaiting(subscriptionId, session.person.id))
  const count = data?.length ?? 0
  return (
    <span className="ml-auto" aria-live="polite">
      {count > 0 && (
        <>
          <span className="tnum rounded-full bg-accent px-1.5 text-2xs text-accent-ink" aria-hidden>
            {num(count)}
          </span>
          <span className="sr-only">{m.waiting(count)}</span>
        </>
      )}
    </span>
  )
}
