import { queryOptions } from '@tanstack/react-query'
import { call, get } from '../client.ts'
import { types } from '../keys.ts'

/** A key by which SSH clients are known as oneself. */
export type SshKey = { id: string; publicKey: string; fingerprint: string; since: string; until: string }
/** With what a client has to know: lines of OpenSSH's `known_hosts` and `config`. */
export type AddedSshKey = SshKey & { knownHosts: string; config: string }

export const sshKeysQuery = queryOptions({
  queryKey: [types.sshKey],
  queryFn: async ({ signal }) => (await get<{ value: SshKey[] }>('/ssh/keys', signal)).value,
})

export const addSshKey = (publicKey: string) => call<AddedSshKey>('POST', '/ssh/keys', { body: { publicKey } })

export const removeSshKey = (id: string) => call<void>('DELETE', `/ssh/keys/${encodeURIComponent(id)}`)
