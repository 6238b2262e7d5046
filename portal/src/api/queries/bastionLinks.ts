import { queryOptions } from '@tanstack/react-query'
import { nameOf } from '../../domain/armId.ts'
import type { DesktopProtocol } from '../../domain/bastion.ts'
import { armUrl } from '../arm.ts'
import { call } from '../client.ts'
import { types } from '../keys.ts'
import type { ShareableLink } from '../types.ts'
import type { Write } from '../writes.ts'

const actionUrl = (host: string, verb: string) => armUrl(`${host}/${verb}`, 'microsoft.network')

/** The links through a host, newest first. A question that Azure asks by POST. */
export const linksOf = (host: string) =>
  queryOptions({
    queryKey: [types.bastionLink, host.toLowerCase()],
    queryFn: async ({ signal }) =>
      (
        await call<{ value: ShareableLink[] }>('POST', actionUrl(host, 'getShareableLinks'), {
          body: { vms: [] },
          signal,
        })
      ).value,
  })

/** What a link is to be good for. */
export type LinkWish = {
  host: string
  machine: string
  /** VNC knows of none. */
  account?: string
  /** A desktop; a terminal without one. */
  desktop?: { protocol: DesktopProtocol }
  /** ISO 8601. */
  duration: string
  maximumUses?: number
  multiFactorMaxAge?: string
  from: string[]
}

export const createLink = ({ host, machine, from, ...wish }: LinkWish): Write<{ value: ShareableLink[] }> => ({
  method: 'POST',
  url: actionUrl(host, 'createShareableLinks'),
  body: { vms: [{ vm: { id: machine }, sekisho: { ...wish, allowedSourceAddressPrefixes: from } }] },
  operation: 'Microsoft.Network/bastionHosts/createShareableLinks/action',
  target: { name: nameOf(machine), id: machine },
  foresee: async () => [
    {
      resourceId: host,
      changeType: 'Create',
      before: null,
      after: { displayName: nameOf(machine), ...wish, allowedSourceAddressPrefixes: from },
    },
  ],
})

/** Takes a link back; what was begun with it ends. */
export const takeLinkBack = (host: string, link: ShareableLink): Write<void> => ({
  method: 'POST',
  url: actionUrl(host, 'deleteShareableLinksByToken'),
  body: { tokens: [link.sekisho?.id] },
  operation: 'Microsoft.Network/bastionHosts/deleteShareableLinksByToken/action',
  target: { name: nameOf(link.vm.id), id: link.vm.id },
  foresee: async () => [
    {
      resourceId: host,
      changeType: 'Delete',
      before: { displayName: nameOf(link.vm.id), ...link.sekisho },
      after: null,
    },
  ],
})
