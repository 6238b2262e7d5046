/**
 * The wire of a terminal: binary WebSocket messages whose first byte is the lane. Output carries the sequence number of
 * its first byte, so that a connection that broke goes on where it stopped; everything else is JSON.
 */
import { controlLane, framed, framedControl, readControl, type Said, type Standing, type Terms } from '../wire.ts'

export const subprotocol = 'sekisho.terminal.v1'

const bytesLane = 0
/** The lane and a big-endian u64. */
const outputHeader = 9

export type Ready = Terms & {
  upload: boolean
  download: boolean
  maxFileBytes: number | null
  /** Output up to here is of before this connection: whatever it asks of a terminal has been answered. */
  upTo?: number
}
export type Exit = { kind: 'exit'; status: number | null; signal: string | null }
export type ServerControl =
  | Ready
  | { kind: 'gap'; from: number }
  | { kind: 'size'; columns: number; rows: number }
  | Said
  | Exit
  | Standing
export type ClientControl = { kind: 'size'; columns: number; rows: number } | { kind: 'ack'; upTo: number }

export type Frame =
  | { lane: 'output'; at: number; bytes: Uint8Array }
  | { lane: 'control'; control: ServerControl }
  /** Of a newer server, or broken: nothing of it counts. */
  | { lane: 'unknown' }

const unknown: Frame = { lane: 'unknown' }

export function readFrame(data: ArrayBuffer): Frame {
  const bytes = new Uint8Array(data)
  if (bytes[0] === controlLane) {
    const control = readControl(bytes.subarray(1))
    return control ? { lane: 'control', control: control as ServerControl } : unknown
  }
  if (bytes[0] !== bytesLane || bytes.length < outputHeader) return unknown
  const at = new DataView(data).getBigUint64(1)
  // Eight petabytes: beyond that, numbers are not exact any more.
  if (at > BigInt(Number.MAX_SAFE_INTEGER)) return unknown
  return { lane: 'output', at: Number(at), bytes: bytes.subarray(outputHeader) }
}

export const inputFrame = (bytes: Uint8Array) => framed(bytesLane, bytes)
export const controlFrame = (control: ClientControl) => framedControl(control)

/** What a terminal takes for keys: UTF-8. */
export const utf8 = (text: string) => new TextEncoder().encode(text)
/** Reports of a mouse in the old encoding: a byte each. */
export const latin1 = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0))
