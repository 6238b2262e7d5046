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

export const isWatching = <T extends object>(target: T | WatchTarget): target is WatchTarget => 'session' in target

/** Names of accounts as `useradd` takes them; a server decides. */
export const isAccount = (text: string) => /^[a-z_][a-z0-9_.-]{0,31}\$?$/i.test(text)

/** A desktop that is to be: by which protocol, and as whom. */
export type DesktopTarget = {
  machine: string
  host: string
  protocol: DesktopProtocol
  /** Where it listens, unless that is where its protocol does. */
  port?: number
  /** Nobody: of RDP one's own, of VNC none. */
  account?: string
  domain?: string
  /** What is printed on the keys, of RDP. */
  keyboard?: DesktopKeyboard
  /** The password is the one that the bastion keeps; nobody is asked for it. */
  kept?: true
  place?: string
}
export type DesktopProtocol = 'rdp' | 'vnc'
export const desktopKeyboards = ['american', 'japanese'] as const
export type DesktopKeyboard = (typeof desktopKeyboards)[number]

export const desktopPorts = { rdp: 3389, vnc: 5900 } as const
export const isDesktop = (protocol: string | undefined): protocol is DesktopProtocol =>
  protocol === 'rdp' || protocol === 'vnc'

/** Names of domains; a server decides. */
export const isDomain = (text: string) => /^[\w.-]{1,255}$/.test(text)
export const isPort = (port: number) => Number.isInteger(port) && port > 0 && port <= 65_535

const machineType = 'microsoft.compute/virtualmachines'
const hostType = 'microsoft.network/bastionhosts'

const ofType = (id: string | null, type: string) => {
  const parsed = parseArmId(id ?? undefined)
  return parsed?.type === type ? parsed.id : undefined
}

const addressed = (path: string, target: Record<string, string | number | boolean | undefined>) =>
  `${path}?${new URLSearchParams(
    Object.entries(target).flatMap(([key, value]) => (value === undefined ? [] : [[key, String(value)]])),
  )}`

export const terminalAddress = (target: SessionTarget | WatchTarget) => addressed('/session/ssh', target)
export const desktopAddress = (target: DesktopTarget | WatchTarget) => addressed('/session/desktop', target)

/** The ends of a session, and how it is looked at if it is there already. */
function readEnds(query: URLSearchParams) {
  const machine = ofType(query.get('machine'), machineType)
  const host = ofType(query.get('host'), hostType)
  if (!machine || !host) return
  const session = query.get('session')
  const mode = query.get('mode') === 'interactive' ? 'interactive' : 'readOnly'
  const watch: WatchTarget | undefined =
    session && /^[0-9a-f-]{36}$/i.test(session) ? { machine, host, session, mode } : undefined
  const place = query.get('place')
  return { ends: { machine, host, ...(place && isPlace(place) ? { place } : {}) }, watch }
}

/** What an address asks for, which anybody may have written. */
export function readTarget(search: string): SessionTarget | WatchTarget | undefined {
  const query = new URLSearchParams(search)
  const read = readEnds(query)
  const account = query.get('account')
  return read?.watch ?? (read && account && isAccount(account) ? { ...read.ends, account } : undefined)
}

export function readDesktop(search: string): DesktopTarget | WatchTarget | undefined {
  const query = new URLSearchParams(search)
  const read = readEnds(query)
  if (!read || read.watch) return read?.watch
  const protocol = query.get('protocol') ?? undefined
  const port = query.has('port') ? Number(query.get('port')) : undefined
  const account = query.get('account') ?? undefined
  const domain = query.get('domain') ?? undefined
  const keyboard = desktopKeyboards.find((one) => one === query.get('keyboard'))
  if (!isDesktop(protocol) || (port !== undefined && !isPort(port))) return
  if (account !== undefined && !isAccount(account)) return
  if (domain !== undefined && !isDomain(domain)) return
  return {
    ...read.ends,
    protocol,
    ...(port !== undefined && { port }),
    ...(account !== undefined && { account }),
    ...(domain !== undefined && { domain }),
    ...(keyboard && { keyboard }),
    ...(query.get('kept') === 'true' && { kept: true as const }),
  }
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

/** As the portal and its titles call a session. A desktop may have no account. */
export const targetName = ({ machine, account }: { machine: string; account?: string | null }) =>
  account ? `${account}@${nameOf(machine)}` : nameOf(machine)
