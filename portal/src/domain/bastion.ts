import { nameOf, parseArmId } from './armId.ts'

/** What a host is called in addresses: the last segment of its `dnsName`, which is `<name>:<port>/bastions/<place>`. */
export function placeOf(dnsName: string | undefined) {
  const place = dnsName?.split('/bastions/')[1]
  return place && isPlace(place) ? place : undefined
}

const isPlace = (text: string) => /^[0-9a-f-]{36}$/i.test(text)

/** A session that is to be: by whom on which machine, and through which host. */
export type SessionTarget = {
  machine: string
  host: string
  account: string
  /** What the host is called in addresses, for whoever may not read it. */
  place?: string
}
/** A session that is there already, and is looked at. */
export type WatchTarget = { machine: string; host: string; session: string; mode: 'readOnly' | 'interactive' }

/** Names of accounts as `useradd` takes them; a server decides. */
export const isAccount = (text: string) => /^[a-z_][a-z0-9_.-]{0,31}\$?$/i.test(text)

const machineType = 'microsoft.compute/virtualmachines'
const hostType = 'microsoft.network/bastionhosts'

const ofType = (id: string | null, type: string) => {
  const parsed = parseArmId(id ?? undefined)
  return parsed?.type === type ? parsed.id : undefined
}

export const terminalAddress = (target: SessionTarget | WatchTarget) =>
  `/session/ssh?${new URLSearchParams(Object.entries(target))}`

/** What an address asks for, which anybody may have written. */
export function readTarget(search: string): SessionTarget | WatchTarget | undefined {
  const query = new URLSearchParams(search)
  const machine = ofType(query.get('machine'), machineType)
  const host = ofType(query.get('host'), hostType)
  const account = query.get('account')
  const session = query.get('session')
  if (!machine || !host) return
  if (session && /^[0-9a-f-]{36}$/i.test(session)) {
    return { machine, host, session, mode: query.get('mode') === 'interactive' ? 'interactive' : 'readOnly' }
  }
  const place = query.get('place')
  const known = place && isPlace(place) ? { place } : {}
  return account && isAccount(account) ? { machine, host, account, ...known } : undefined
}

/** What stands behind the `#` of an address that lends a login. */
export const readLink = (hash: string) => /^#([0-9a-f]{32}\.[\w-]{20,100})$/i.exec(hash)?.[1]

export type RecordingTarget = { machine: string; recording: string; atMs?: number }

export const replayAddress = ({ machine, recording, atMs }: RecordingTarget) =>
  `/session/replay?${new URLSearchParams({ machine, recording, ...(atMs ? { at: String(atMs) } : {}) })}`

export function readRecording(search: string): RecordingTarget | undefined {
  const query = new URLSearchParams(search)
  const machine = ofType(query.get('machine'), machineType)
  const recording = query.get('recording')
  const at = Number(query.get('at'))
  if (!machine || !recording || !/^[\w-]{1,64}$/.test(recording)) return
  return { machine, recording, ...(Number.isSafeInteger(at) && at > 0 ? { atMs: at } : {}) }
}

/** As the portal and its titles call a session. */
export const targetName = ({ machine, account }: { machine: string; account: string }) =>
  `${account}@${nameOf(machine)}`
