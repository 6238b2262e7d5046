/**
 * The wire of a terminal: binary WebSocket messages whose first byte is the lane. Output carries the sequence number of
 * its first byte, so that a connection that broke goes on where it stopped; everything else is JSON.
 */

export const subprotocol = 'sekisho.terminal.v1'

const lane = { bytes: 0, control: 1 } as const
/** The lane and a big-endian u64. */
const outputHeader = 9

export type Mode = 'own' | 'readOnly' | 'interactive'
export type Watcher = { name: string; mode: Exclude<Mode, 'own'> }
export type Ready = {
  kind: 'ready'
  sessionId: string
  account: string
  machine: string
  mode: Mode
  copy: boolean
  paste: boolean
  upload: boolean
  download: boolean
  maxFileBytes: number | null
  recorded: 'off' | 'metadata' | 'full'
  /** When it ends, RFC 3339. */
  until: string
  idleSeconds: number | null
  /** Output up to here is of before this connection: whatever it asks of a terminal has been answered. */
  upTo?: number
}
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
export type Exit = { kind: 'exit'; status: number | null; signal: string | null }
export type ServerControl =
  | Ready
  | { kind: 'gap'; from: number }
  | { kind: 'size'; columns: number; rows: number }
  | { kind: 'watchers'; people: Watcher[] }
  | { kind: 'message'; from: string; text: string }
  | { kind: 'warning'; reason: 'Idle' | 'TimeOver'; seconds: number }
  | { kind: 'alive' }
  | Exit
  | { kind: 'ended'; reason: EndReason }
export type ClientControl = { kind: 'size'; columns: number; rows: number } | { kind: 'ack'; upTo: number }

export type Frame =
  | { lane: 'output'; at: number; bytes: Uint8Array }
  | { lane: 'control'; control: ServerControl }
  /** Of a newer server, or broken: nothing of it counts. */
  | { lane: 'unknown' }

const unknown: Frame = { lane: 'unknown' }

function controlOf(bytes: Uint8Array): Frame {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    const isControl = typeof value === 'object' && value !== null && 'kind' in value && typeof value.kind === 'string'
    return isControl ? { lane: 'control', control: value as ServerControl } : unknown
  } catch {
    return unknown
  }
}

export function readFrame(data: ArrayBuffer): Frame {
  const bytes = new Uint8Array(data)
  if (bytes[0] === lane.control) return controlOf(bytes.subarray(1))
  if (bytes[0] !== lane.bytes || bytes.length < outputHeader) return unknown
  const at = new DataView(data).getBigUint64(1)
  // Eight petabytes: beyond that, numbers are not exact any more.
  if (at > BigInt(Number.MAX_SAFE_INTEGER)) return unknown
  return { lane: 'output', at: Number(at), bytes: bytes.subarray(outputHeader) }
}

function framed(first: number, payload: Uint8Array) {
  const frame = new Uint8Array(payload.length + 1)
  frame[0] = first
  frame.set(payload, 1)
  return frame
}

export const inputFrame = (bytes: Uint8Array) => framed(lane.bytes, bytes)
export const controlFrame = (control: ClientControl) =>
  framed(lane.control, new TextEncoder().encode(JSON.stringify(control)))

/** What a terminal takes for keys: UTF-8. */
export const utf8 = (text: string) => new TextEncoder().encode(text)
/** Reports of a mouse in the old encoding: a byte each. */
export const latin1 = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0))
