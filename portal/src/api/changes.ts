import { resourceUrl } from './arm.ts'
import { call } from './client.ts'
import type { WhatIf } from './types.ts'

/** A write that has not happened yet: what ChangeReview shows is computed from exactly what would be sent. */
export type Change = { method: 'PUT' | 'DELETE'; id: string; body?: unknown; etag?: string }

export const previewChange = ({ method, id, body, etag }: Change) =>
  call<WhatIf>(method, resourceUrl(id, { whatIf: 'true' }), { body, etag })

export const applyChange = ({ method, id, body, etag }: Change) =>
  call<unknown>(method, resourceUrl(id), { body, etag })

/** Several writes are reviewed as one: a machine touched twice appears once. */
/** What several writes would do together. */
export type Preview = Pick<WhatIf, 'changes' | 'machines'>

export async function previewChanges(changes: Change[]): Promise<Preview> {
  const answers = await Promise.all(changes.map(previewChange))
  const machines = new Map<string, WhatIf['machines'][number]>()
  for (const machine of answers.flatMap((answer) => answer.machines)) {
    const key = machine.id.toLowerCase()
    const known = machines.get(key)
    machines.set(key, known ? { ...known, changes: [...known.changes, ...machine.changes] } : machine)
  }
  return {
    changes: answers.flatMap((answer) => answer.changes),
    machines: [...machines.values()],
  }
}
