import { resourceUrl } from './arm.ts'
import { call } from './client.ts'
import type { WhatIf } from './types.ts'

/** A write that has not happened yet: what ChangeReview shows is computed from exactly what would be sent. */
export type Change = { method: 'PUT' | 'DELETE'; id: string; body?: unknown; etag?: string }

export const previewChange = ({ method, id, body, etag }: Change) =>
  call<WhatIf>(method, resourceUrl(id, { whatIf: 'true' }), { body, etag })

export const applyChange = ({ method, id, body, etag }: Change) =>
  call<unknown>(method, resourceUrl(id), { body, etag })

/** What several writes would do together. */
export type Preview = Pick<WhatIf, 'changes' | 'machines' | 'otherMachines'>

export const previewChanges = async (changes: Change[]) => together(await Promise.all(changes.map(previewChange)))

/**
 * Several writes are reviewed as one: a machine touched twice appears once. Of the machines that nobody tells us of it is
 * not known which are the same, so that at least as many are touched as by the write that touches most.
 */
export function together(answers: WhatIf[]): Preview {
  const machines = new Map<string, WhatIf['machines'][number]>()
  for (const machine of answers.flatMap((answer) => answer.machines)) {
    const key = machine.id.toLowerCase()
    const known = machines.get(key)
    machines.set(key, known ? { ...known, changes: [...known.changes, ...machine.changes] } : machine)
  }
  return {
    changes: answers.flatMap((answer) => answer.changes),
    machines: [...machines.values()],
    otherMachines: Math.max(0, ...answers.map((answer) => answer.otherMachines)),
  }
}
