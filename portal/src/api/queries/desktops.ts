import { queryOptions } from '@tanstack/react-query'
import type { DesktopProtocol } from '../../domain/bastion.ts'
import { nameOf } from '../../domain/armId.ts'
import { armUrl } from '../arm.ts'
import { listAll } from '../client.ts'
import { types } from '../keys.ts'
import type { Write } from '../writes.ts'

/** Whose password it is on a machine. */
export type KeptFor = { protocol: DesktopProtocol; account: string | null }
/** A password that the bastion keeps and types itself; nobody is ever shown it. */
export type KeptPassword = KeptFor & { domain: string | null; changedAt: string; changedBy: string }
/** The certificate that an RDP server had when it was first met. */
export type Pinned = {
  port: number
  /** SHA-256, hexadecimal. */
  fingerprint: string
  since: string
  by: string
}

async function propertiesOf<T>(url: string, signal: AbortSignal) {
  const rows = await listAll<{ properties: T }>(url, signal)
  return rows.map(({ properties }) => properties)
}

export const desktopQueries = {
  kept: (machine: string) =>
    queryOptions({
      queryKey: [types.desktopPassword, machine.toLowerCase()],
      queryFn: ({ signal }) =>
        propertiesOf<KeptPassword>(
          armUrl(`${machine}/providers/Sekisho.Bastion/credentials`, 'sekisho.bastion'),
          signal,
        ),
      retry: false,
    }),
  pinned: (machine: string) =>
    queryOptions({
      queryKey: [types.desktopCertificate, machine.toLowerCase()],
      queryFn: ({ signal }) =>
        propertiesOf<Pinned>(
          armUrl(`${machine}/providers/Sekisho.Bastion/desktopCertificates`, 'sekisho.bastion'),
          signal,
        ),
      retry: false,
    }),
}

function action(machine: string, verb: string, body: object): Write<void> {
  return {
    method: 'POST',
    url: armUrl(`${machine}/providers/Sekisho.Bastion/${verb}`, 'sekisho.bastion'),
    body,
    operation: `Sekisho.Bastion/${verb}/action`,
    target: { name: nameOf(machine), id: machine },
  }
}

type Kept = { protocol: DesktopProtocol; account?: string; domain?: string; password: string }

/** The bastion types it from now on for whoever may log in with this account. */
export const keepPassword = (machine: string, kept: Kept): Write<void> => action(machine, 'keepCredential', kept)

export const forgetPassword = (machine: string, { protocol, account }: KeptFor): Write<void> =>
  action(machine, 'removeCredential', { protocol, account: account ?? undefined })

/** Whatever certificate the server has next is the one that it is to have. */
export const forgetCertificate = (machine: string, { port }: Pick<Pinned, 'port'>): Write<void> =>
  action(machine, 'forgetDesktopCertificate', { port })
