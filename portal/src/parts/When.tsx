import { ago, dateTime } from '../app/format.ts'

/** An instant as the distance from now; the instant itself is what a pointer finds. */
export function When({ iso }: { iso: string }) {
  return (
    <time dateTime={iso} title={dateTime(iso)} className="tnum text-xs text-ink-2">
      {ago(iso)}
    </time>
  )
}
