import { RefreshCw, WifiOff } from 'lucide-react'
import { Button } from '../ui/Button.tsx'
import { useLive } from './events.ts'
import { dateTime } from './format.ts'
import { messages } from './i18n.ts'

const m = messages({
  stale: {
    en: (at: string) => `Not live since ${at}. What you see may be old; the page asks again every minute.`,
    ja: (at: string) => `${at} からライブ更新が止まっています。表示が古い可能性があります（1 分ごとに再取得します）。`,
  },
  updated: { en: 'Sekisho was updated.', ja: 'Sekisho が更新されました。' },
  reload: { en: 'Reload', ja: '再読み込み' },
})

let firstVersion: string | undefined

export function LiveBanner() {
  const live = useLive()
  firstVersion ??= live.version
  if (live.state === 'stale') {
    return (
      <div role="status" className="flex items-center gap-2 border-b border-med/30 bg-med-soft px-5 py-2 text-sm">
        <WifiOff size={15} className="shrink-0 text-med" aria-hidden />
        {m.stale(dateTime(new Date(live.sinceMs).toISOString()))}
      </div>
    )
  }
  if (live.version && firstVersion && live.version !== firstVersion) {
    return (
      <div
        role="status"
        className="flex items-center gap-2 border-b border-accent-line bg-accent-soft px-5 py-1.5 text-sm"
      >
        <RefreshCw size={15} className="shrink-0 text-accent" aria-hidden />
        {m.updated}
        <Button size="sm" onPress={() => location.reload()}>
          {m.reload}
        </Button>
      </div>
    )
  }
  return null
}
