import type { JitRequest, JitState } from '../../api/types.ts'
import type { Tone } from '../../ui/tone.ts'
import { m } from './messages.ts'

export const stateText = (state: JitState) => (state === 'revoked' ? m.revokedState : m[state])

export const stateTone: Record<JitState, Tone> = {
  requested: 'info',
  pending: 'med',
  approved: 'accent',
  active: 'ok',
  expired: 'info',
  revoked: 'info',
  superseded: 'info',
  denied: 'crit',
  cancelled: 'info',
  refused: 'crit',
}

type Event = JitRequest['sekisho']['history'][number]['event']

export function eventText(event: Event) {
  switch (event) {
    case 'approve':
      return m.approveEvent
    case 'revoke':
      return m.revokeEvent
    case 'deny':
      return m.denyEvent
    case 'cancel':
      return m.cancelEvent
    default:
      return m[event]
  }
}
