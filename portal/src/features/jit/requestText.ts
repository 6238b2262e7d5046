import type { JitElevation, JitRequest } from '../../api/types.ts'
import { elevationsOf } from '../../domain/access.ts'
import { m } from './messages.ts'

const portsOf = (request: JitRequest) => request.virtualMachines.flatMap(({ ports }) => ports)
const once = (words: string[]) => [...new Set(words)].join(', ')

/** What a user is given. */
export const elevationText = ({ kind, user, runAs, commands }: JitElevation) =>
  kind === 'sudo'
    ? m.sudoOf(user, (runAs ?? []).join(', '), (commands ?? []).join(', '))
    : kind === 'login'
      ? m.loginOf(user)
      : m.accountOf(user)

/** What a request is about, in short. */
export const givesText = (request: JitRequest) =>
  once([
    ...portsOf(request).map(({ number }) => String(number)),
    ...elevationsOf(request).map(({ kind, user }) =>
      kind === 'sudo' ? m.sudoShort(user) : kind === 'login' ? m.loginOf(user) : m.accountOf(user),
    ),
  ])

export const sourcesText = (request: JitRequest) =>
  once(
    portsOf(request).flatMap(({ allowedSourceAddressPrefix, allowedSourceAddressPrefixes }) =>
      allowedSourceAddressPrefix ? [allowedSourceAddressPrefix] : (allowedSourceAddressPrefixes ?? []),
    ),
  )
