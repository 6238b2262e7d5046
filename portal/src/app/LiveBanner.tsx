import { RefreshCw, Unplug, WifiOff } from 'lucide-react'
import type { ReactNode } from 'react'
import { Button } from '../ui/Button.tsx'
import { cx } from '../ui/cx.ts'
import { useLive } from './events.ts'
import { dateTime } from './format.ts'
import { messages } from './i18n.ts'

const m = messages({
  offline: {
    en: (at: string) =>
      `The server cannot be reached. What you see is from ${at}; nothing can be saved until it is back.`,
    ja: (at: string) => `サーバーに接続できません。表示は ${at} 時点の内容です。再接続するまで保存できません。`,
  },
  stale: {
    en: (at: string) => `Not live since ${at}. What you see may be old; the page asks again every minute.`,
    ja: (at: string) => `${at} からライブ更新が止まっています。表示が古い可能性があります（1 分ごとに再取得します）。`,
  },
  updated: { en: 'Sekisho was updated.', ja: 'Sekisho が更新されました。' },
  reload: { en: 'Reload', ja: '再読み込み' },
})

let firstVersion: string | undefined

/** It is there all the time, so that what appears in it is read out. */
export function LiveBanner() {
  const live = useLive()
  firstVersion ??= live.version
  const at = dateTime(new Date(live.sinceMs).toISOString())
  return (
    <div role="status">
      {live.state === 'offline' ? (
        <Bar icon={<Unplug size={15} className="shrink-0 text-med" aria-hidden />}>{m.offline(at)}</Bar>
      ) : live.state === 'stale' ? (
        <Bar icon={<WifiOff size={15} className="shrink-0 text-med" aria-hidden />}>{m.stale(at)}</Bar>
      ) : live.version && live.version !== firstVersion ? (
        <Bar icon={<RefreshCw size={15} className="shrink-0 text-accent" aria-hidden />} news>
          {m.updated}
          <Button size="sm" onPress={() => location.reload()}>
            {m.reload}
          </Button>
        </Bar>
      ) : null}
    </div>
  )
}

function Bar({ icon, children, news = false }: { icon: ReactNode; children: ReactNode; news?: boolean }) {
  return (
    <div
      className={cx(
        'flex items-center gap-2 border-b px-5 py-2 text-sm',
        news ? 'border-accent-line bg-accent-soft' : 'border-med/30 bg-med-soft',
      )}
    >
      {icon}
      {children}
    </div>
  )
}
