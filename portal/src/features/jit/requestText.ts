import type { JitRequest } from '../../api/types.ts'

const portsOf = (request: JitRequest) => request.virtualMachines.flatMap(({ ports }) => ports)
const once = (words: string[]) => [...new Set(words)].join(', ')

export const portsText = (request: JitRequest) => once(portsOf(request).map(({ number }) => String(number)))

export const sourcesText = (request: JitRequest) =>
  once(
    portsOf(request).flatMap(({ allowedSourceAddressPrefix, allowedSourceAddressPrefixes }) =>
      allowedSourceAddressPrefix ? [allowedSourceAddressPrefix] : (allowedSourceAddressPrefixes ?? []),
    ),
  )
