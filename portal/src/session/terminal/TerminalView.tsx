import { useEffect, useRef } from 'react'
import { cx } from '../../ui/cx.ts'
import { m } from './messages.ts'
import type { TerminalSession } from './session.ts'

/** Where the screen of a session is drawn. It has its size also while another one is in front. */
export function TerminalView({
  session,
  name,
  isCurrent,
}: {
  session: TerminalSession
  name: string
  isCurrent: boolean
}) {
  const place = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const { current } = place
    if (!current) return
    void session.screen.mount(current).then(() => session.connect())
    return () => session.screen.unmount()
  }, [session])
  useEffect(() => {
    if (isCurrent) session.screen.focus()
  }, [session, isCurrent])
  return (
    <div
      ref={place}
      role="group"
      aria-label={m.terminal(name)}
      inert={!isCurrent}
      className={cx('absolute inset-0 overflow-hidden', !isCurrent && 'invisible')}
    />
  )
}
