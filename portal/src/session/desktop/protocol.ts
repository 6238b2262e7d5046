/**
 * The wire of a desktop: binary WebSocket messages whose first byte is the lane. Frames are changed tiles of the picture;
 * everything else is JSON. Nothing of a frame is believed before its bounds are checked, here and in tiles.ts.
 */
import { controlLane, framedControl, readControl, type Said, type Standing, type Terms } from '../wire.ts'

export const subprotocol = 'sekisho.desktop.v1'

/** Of what a browser sends at once: beyond that, the server closes the connection. */
export const longestMessage = 256 * 1024
/** Pixels along a side, which a server never goes beyond. */
export const longestSide = 8192

const frameLane = 2
/** The lane, the number of the frame and the length of its lossless block. */
const frameHeader = 9
/** Where a JPEG tile belongs, and how long it is. */
const jpegHeader = 8

export type Size = { width: number; height: number }
export type Ready = Terms &
  Size & {
    protocol: 'rdp' | 'vnc'
  }
export type PointerShape =
  | { shape: 'default' | 'hidden' }
  /** `x`, `y`: its hotspot. `data`: a PNG in base64. */
  | { shape: 'image'; x: number; y: number; width: number; height: number; data: string }
export type ServerControl =
  | Ready
  | ({ kind: 'size' } & Size)
  | { kind: 'clipboard'; text: string }
  | ({ kind: 'pointer' } & PointerShape)
  | Said
  | Standing
export type ClientControl =
  | { kind: 'ack'; frame: number }
  | ({ kind: 'size' } & Size)
  /** `KeyboardEvent.code` */
  | { kind: 'key'; code: string; down: boolean }
  /** Composed by an input method, or typed on what has no keys. */
  | { kind: 'text'; text: string }
  /** `MouseEvent.buttons` */
  | { kind: 'pointer'; x: number; y: number; buttons: number }
  /** Notches; down and right are positive. */
  | { kind: 'wheel'; x: number; y: number; dx: number; dy: number }
  | ({ kind: 'locks' } & Locks)
  | { kind: 'releaseAll' }
  | { kind: 'clipboard'; text: string }
  | { kind: 'ctrlAltDel' }
export type Locks = { caps: boolean; num: boolean; scroll: boolean }

/** A tile that is a picture of its own. */
export type JpegTile = { x: number; y: number; bytes: Uint8Array<ArrayBuffer> }
export type Tiles = { number: number; block: Uint8Array<ArrayBuffer>; jpegs: JpegTile[] }
export type Message =
  | { lane: 'control'; control: ServerControl }
  | { lane: 'frame'; frame: Tiles }
  /** Of a newer server, or broken: nothing of it counts. */
  | { lane: 'unknown' }

const unknown: Message = { lane: 'unknown' }

export const isSize = ({ width, height }: Partial<Size>) =>
  [width, height].every((side) => Number.isInteger(side) && Number(side) > 0 && Number(side) <= longestSide)

/** `undefined`: it is cut off somewhere. Whether what is in it makes sense, whoever draws it finds out. */
export function readTiles(bytes: Uint8Array<ArrayBuffer>): Tiles | undefined {
  if (bytes[0] !== frameLane || bytes.length < frameHeader) return
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = frameHeader + view.getUint32(5)
  if (at > bytes.length) return
  const block = bytes.subarray(frameHeader, at)
  const jpegs: JpegTile[] = []
  while (at < bytes.length) {
    const start = at + jpegHeader
    if (start > bytes.length) return
    const end = start + view.getUint32(at + 4)
    if (end > bytes.length) return
    jpegs.push({ x: view.getUint16(at), y: view.getUint16(at + 2), bytes: bytes.subarray(start, end) })
    at = end
  }
  return { number: view.getUint32(1), block, jpegs }
}

function isSound(control: ServerControl) {
  switch (control.kind) {
    case 'ready':
    case 'size':
      return isSize(control)
    case 'clipboard':
      return typeof control.text === 'string'
    case 'pointer':
      return control.shape !== 'image' || (isSize(control) && typeof control.data === 'string')
    case 'watchers':
      return Array.isArray(control.people)
    default:
      return true
  }
}

export function readMessage(data: ArrayBuffer): Message {
  const bytes = new Uint8Array(data)
  if (bytes[0] === controlLane) {
    const control = readControl(bytes.subarray(1)) as ServerControl | undefined
    return control && isSound(control) ? { lane: 'control', control } : unknown
  }
  const frame = readTiles(bytes)
  return frame ? { lane: 'frame', frame } : unknown
}

export const controlFrame = (control: ClientControl) => framedControl(control)
