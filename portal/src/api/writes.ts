import { nameOf, parseArmId } from '../domain/armId.ts'
import { resourceUrl } from './arm.ts'
import { call, type Method } from './client.ts'
import type { WhatIf } from './types.ts'

declare const answer: unique symbol

export type ResourceChange = WhatIf['changes'][number]

/** A write that has not happened yet: what is reviewed is computed from exactly what would be sent. */
export type Write<Answer = unknown> = {
  method: Exclude<Method, 'GET'>
  url: string
  body?: unknown
  etag?: string
  /** The action as a role would grant it. */
  operation: string
  /** What it is done to; with an id when that has a page. */
  target: { name: string; id?: string }
  /** Of what the server has just told, for requests that it cannot try: what they change. */
  foresee?: () => Promise<ResourceChange[]>
  readonly [answer]?: Answer
}

/** A write of a resource by its ARM id. */
export function resourceWrite<Answer = unknown>(
  method: 'PUT' | 'DELETE',
  id: string,
  { body, etag }: { body?: unknown; etag?: string } = {},
): Write<Answer> {
  const operation = `${parseArmId(id)?.type ?? ''}/${method === 'DELETE' ? 'delete' : 'write'}`
  return { method, url: resourceUrl(id), body, etag, operation, target: { name: nameOf(id), id } }
}

/** What several writes would do together. */
export type Preview = Pick<WhatIf, 'changes' | 'machines' | 'otherMachines' | 'rights' | 'otherRights'>
export type RightsChange = WhatIf['rights'][number]

/**
 * Writes together with their effect, and the only way to send any: nothing is sent whose effect was not asked for. A
 * write that follows from reviewed ones (its address is in their answer) is sent with them.
 */
export type Reviewed = { readonly writes: readonly Write[]; readonly preview: Preview; readonly send: Send }
export type Send = <Answer>(write: Write<Answer>) => Promise<Answer>

async function tryOut({ method, url, body, etag, foresee }: Write): Promise<Preview> {
  if (foresee) return { changes: await foresee(), machines: [], otherMachines: 0, rights: [], otherRights: 0 }
  return call<WhatIf>(method, `${url}${url.includes('?') ? '&' : '?'}whatIf=true`, { body, etag })
}

const send: Send = ({ method, url, body, etag }) => call(method, url, { body, etag })

export async function review(writes: readonly Write[]): Promise<Reviewed> {
  return { writes, preview: together(await Promise.all(writes.map(tryOut))), send }
}

/**
 * Several writes are reviewed as one: a machine touched twice appears once. Of the machines that nobody tells us of it is
 * not known which are the same, so that at least as many are touched as by the write that touches most.
 */
export function together(answers: Preview[]): Preview {
  const machines = new Map<string, WhatIf['machines'][number]>()
  for (const machine of answers.flatMap((item) => item.machines)) {
    const key = machine.id.toLowerCase()
    const known = machines.get(key)
    // Each write was tried alone, so that nobody knows what packets do after both.
    const both = known && { ...known, changes: [...known.changes, ...machine.changes], traffic: [] }
    machines.set(key, both ?? machine)
  }
  return {
    changes: answers.flatMap((item) => item.changes),
    machines: [...machines.values()],
    otherMachines: Math.max(0, ...answers.map((item) => item.otherMachines)),
    rights: answers.flatMap((item) => item.rights),
    otherRights: answers.reduce((sum, item) => sum + item.otherRights, 0),
  }
}
