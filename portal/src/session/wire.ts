/**
 * What terminals and desktops have in common on the wire: binary WebSocket messages whose first byte is the lane, of
 * which 1 is control, as JSON of a kind.
 */

export const controlLane = 1

export type Mode = 'own' | 'readOnly' | 'interactive'
export type Watcher = { name: string; mode: Exclude<Mode, 'own'> }
export type EndReason =
  | 'Closed'
  | 'Disconnected'
  | 'NotAllowedAnyMore'
  | 'ConditionalAccess'
  | 'SignInEnded'
  | 'TimeOver'
  | 'Idle'
  | 'RecordingFailed'
  | 'Lost'
  | 'TakenOver'
/** What holds for a session, whatever it shows. */
export type Terms = {
  kind: 'ready'
  sessionId: string
  account: string
  machine: string
  mode: Mode
  copy: boolean
  paste: boolean
  recorded: 'off' | 'metadata' | 'full'
  /** When it ends, RFC 3339. */
  until: string
  idleSeconds: number | null
}
/** Who else is there, and what is said to everybody. */
export type Said =
  | { kind: 'watchers'; people: Watcher[] }
  | { kind: 'message'; from: string; text: string }
  | { kind: 'warning'; reason: 'Idle' | 'TimeOver'; seconds: number }
/** What is about the connection itself. */
export type Standing = { kind: 'alive' } | { kind: 'ended'; reason: EndReason }

/** JSON of a kind; what is none is of a newer server, or broken, and counts as nothing. */
export function readControl(bytes: Uint8Array): { kind: string } | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    const isControl = typeof value === 'object' && value !== null && 'kind' in value && typeof value.kind === 'string'
    return isControl ? (value as { kind: string }) : undefined
  } catch {
    return undefined
  }
}

/** One message: its lane, and what is in it. */
export function framed(lane: number, payload: Uint8Array) {
  const frame = new Uint8Array(payload.length + 1)
  frame[0] = lane
  frame.set(payload, 1)
  return frame
}

export const framedControl = (control: { kind: string }) =>
  framed(controlLane, new TextEncoder().encode(JSON.stringify(control)))
