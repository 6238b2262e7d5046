import { useEffect, useState } from 'react'
import { dateTime } from '../../app/format.ts'
import { left } from '../../domain/access.ts'

/** What is left until an instant, second by second. */
export function Countdown({ iso, over }: { iso: string; over: string }) {
  const [nowMs, setNowMs] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => setNowMs(Date.now()), 1_000)
    return () => clearInterval(timer)
  }, [])
  return (
    <time dateTime={iso} title={dateTime(iso)} className="tnum font-mono text-sm">
      {left(iso, nowMs) ?? over}
    </time>
  )
}
