import type { RuleEffect, WhatIf } from '../api/types.ts'

type MachineEffect = WhatIf['machines'][number]
export type EffectGroup = { effects: RuleEffect[]; machines: MachineEffect[] }

const keyOf = (effects: RuleEffect[]) =>
  JSON.stringify(effects.map(({ kind, direction, stage, rule }) => [kind, direction, stage, rule]).toSorted())

/** Machines that gain and lose exactly the same rules are one decision for the reader. */
export function groupEffects(machines: MachineEffect[]): EffectGroup[] {
  const groups = new Map<string, EffectGroup>()
  for (const machine of machines) {
    if (machine.changes.length === 0) continue
    const key = keyOf(machine.changes)
    const group = groups.get(key)
    if (group) group.machines.push(machine)
    else groups.set(key, { effects: machine.changes, machines: [machine] })
  }
  return [...groups.values()].toSorted((a, b) => b.machines.length - a.machines.length)
}
