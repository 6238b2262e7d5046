import type { Facts } from '../../api/types.ts'
import { bytes, num } from '../../app/format.ts'
import { m } from './messages.ts'

/** Every list of facts as text cells: what is shown is also what the search looks through. */
export type FactList = {
  id: FactListId
  headers: string[]
  rows: { id: string; cells: string[] }[]
  /** Columns in the fixed-width font. */
  mono: number[]
}

export const factListIds = [
  'sockets',
  'services',
  'packages',
  'users',
  'mounts',
  'disks',
  'nics',
  'routes',
  'capabilities',
] as const
export type FactListId = (typeof factListIds)[number]

export const isFactListId = (id: string | undefined): id is FactListId => factListIds.some((item) => item === id)

const lists: { [K in FactListId]: (facts: Partial<Facts>) => Omit<FactList, 'id'> } = {
  sockets: ({ sockets = [] }) => ({
    headers: [m.port, m.protocol, m.address, m.process, m.uid],
    mono: [0, 2],
    rows: sockets.map((item) => ({
      id: `${item.protocol} ${item.address} ${item.port} ${item.process?.pid}`,
      cells: [
        String(item.port),
        item.protocol.toUpperCase(),
        item.address,
        item.process?.exe ?? '–',
        String(item.process?.uid ?? '–'),
      ],
    })),
  }),
  services: ({ services = [] }) => ({
    headers: [m.name, m.state],
    mono: [0],
    rows: services.map((item) => ({ id: item.name, cells: [item.name, item.state] })),
  }),
  packages: ({ packages }) => ({
    headers: [m.name, m.version],
    mono: [0, 1],
    rows: Object.entries(packages?.installed ?? {}).map(([name, version]) => ({ id: name, cells: [name, version] })),
  }),
  users: ({ users = [] }) => ({
    headers: [m.name, m.uid, m.home, m.shell],
    mono: [0, 1, 2, 3],
    rows: users.map((item) => ({ id: item.name, cells: [item.name, String(item.uid), item.home, item.shell] })),
  }),
  mounts: ({ mounts = [] }) => ({
    headers: [m.target, m.source, m.type, m.size, m.free],
    mono: [0, 1],
    rows: mounts.map((item) => ({
      id: item.target,
      cells: [item.target, item.source, item.fsType, bytes(item.sizeBytes), bytes(item.availableBytes)],
    })),
  }),
  disks: ({ disks = [] }) => ({
    headers: [m.name, m.model, m.size, m.type],
    mono: [0],
    rows: disks.map((item) => ({
      id: item.name,
      cells: [
        item.name,
        item.model ?? '–',
        bytes(item.sizeBytes),
        [item.rotational ? m.rotational : m.solid, item.readOnly ? m.readOnly : ''].filter(Boolean).join(', '),
      ],
    })),
  }),
  nics: ({ nics = [] }) => ({
    headers: [m.name, m.addresses, m.mac, 'MTU', m.state],
    mono: [0, 1, 2],
    rows: nics.map((item) => ({
      id: item.name,
      cells: [item.name, item.addresses.join(', '), item.mac, num(item.mtu), item.up ? m.up : m.down],
    })),
  }),
  routes: ({ routes = [] }) => ({
    headers: [m.destination, m.gateway, m.interface, m.metric],
    mono: [0, 1, 2],
    rows: routes.map((item) => ({
      id: `${item.destination} ${item.gateway} ${item.interface} ${item.metric}`,
      cells: [item.destination, item.gateway ?? '–', item.interface, String(item.metric)],
    })),
  }),
  capabilities: ({ capabilities = {} }) => ({
    headers: [m.name, m.tier, m.detail],
    mono: [],
    rows: Object.entries(capabilities).map(([name, { tier, detail }]) => ({
      id: name,
      cells: [capabilityName(name), tier === 'none' ? m.noneTier : m[tier], detail],
    })),
  }),
}

const named = [
  'bpf',
  'cgroup',
  'conntrack',
  'dm-crypt',
  'fanotify',
  'landlock',
  'nflog',
  'nftables',
  'seccomp',
  'tpm',
] as const

/** A newer agent may try what this page has no name for. */
function capabilityName(id: string) {
  const known = named.find((name) => name === id)
  return known ? m[known] : id
}

export const factList = (id: FactListId, facts: Partial<Facts>): FactList => ({ id, ...lists[id](facts) })
