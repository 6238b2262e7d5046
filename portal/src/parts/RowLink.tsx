import { useNavigate } from '@tanstack/react-router'
import type { MouseEvent } from 'react'
import { nameOf } from '../domain/armId.ts'

/** A resource's name in a grid of thousands: a plain link, because the router's own costs more than the rest of the row. */
export function RowLink({ id }: { id: string }) {
  const navigate = useNavigate()
  const open = (event: MouseEvent) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
    event.preventDefault()
    void navigate({ to: '/r/$', params: { _splat: id.slice(1) } })
  }
  return (
    <a
      href={encodeURI(`/r${id}`)}
      onClick={open}
      tabIndex={-1}
      className="truncate font-medium hover:text-accent hover:underline"
    >
      {nameOf(id)}
    </a>
  )
}
