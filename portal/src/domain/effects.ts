import type { RuleEffect, TrafficEffect, WhatIf } from '../api/types.ts'

type MachineEffect = WhatIf['machines'][number]
export type EffectGroup = { effects: RuleEffect[]; traffic: TrafficEffect[]; machines: MachineEffect[] }

const keyOf = ({ changes, traffic }: MachineEffect) => {
  const rules = changes.map(({ kind, direction, stage, rule }) => JSON.stringify([kind, direction, stage, rule]))
  const packets = traffic.map(({ direction, difference }) => JSON.stringify([direction, difference]))
  return JSON.stringify([rules.toSorted(), packets.toSorted()])
}

/** Machines that gain and lose exactly the same rules are one decision for the reader. */
export function groupEffects(machines: MachineEffect[]): EffectGroup[] {
  const groups = new Map<string, EffectGroup>()
  for (const machine of machines) {
    if (machine.changes.length === 0) continue
    const key = keyOf(machine)
    const group = groups.get(key)
    if (group) group.machines.push(machine)
    else groups.set(key, { effects: machine.changes, traffic: machine.traffic, machines: [machine] })
  }
  return [...groups.values()].toSorted((a, b) => b.machines.length - a.machines.length)
}
