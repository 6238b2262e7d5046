import type { RuleAnalysis, RuleFinding } from '../api/types.ts'

/** From the mildest to the gravest. */
const states = ['effective', 'partlyShadowed', 'redundant', 'shadowed', 'empty'] as const
export type Finding = Pick<RuleFinding, 'state' | 'by' | 'witness' | 'conflicts'>

/** The priority from which on rules are those that every group has. */
const defaults = 65_000

const least = (a: Finding, b: Finding) => (states.indexOf(a.state) <= states.indexOf(b.state) ? a : b)

/**
 * What is to be said of each of the user's rules, by its name: the mildest of what holds where the group is attached,
 * for a rule that decides somewhere is not one that never does. Contradictions count between rules that people wrote.
 */
export function findingsOf(analysis: RuleAnalysis | undefined, direction: 'inbound' | 'outbound') {
  const found = new Map<string, Finding>()
  const lists = (analysis?.views ?? []).map((view) => view[direction])
  if (lists.some((list) => !list)) return found
  for (const list of lists) {
    const own = new Set((list ?? []).filter(({ priority }) => priority < defaults).map(({ rule }) => rule))
    for (const { rule, priority, state, by, witness, conflicts } of list ?? []) {
      if (priority >= defaults) continue
      const finding = { state, by, witness, conflicts: conflicts.filter((conflict) => own.has(conflict.with)) }
      const known = found.get(rule)
      found.set(rule, known ? least(known, finding) : finding)
    }
  }
  return found
}

/** Whether some of the rules are too many to say anything of. */
export const isTooLarge = (analysis: RuleAnalysis | undefined) =>
  analysis?.views.some(({ inbound, outbound }) => !inbound || !outbound) ?? false
