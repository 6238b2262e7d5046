import type { FlowNode } from '../../api/types.ts'
import { m } from './messages.ts'

/** What people call a node. */
export function nodeText({ kind, name }: Pick<FlowNode, 'kind' | 'name'>) {
  if (kind === 'Internet') return m.internet
  return kind === 'PrivateAddresses' ? m.private : name
}
