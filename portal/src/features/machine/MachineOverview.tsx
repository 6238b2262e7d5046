import type { Facts, VirtualMachine } from '../../api/types.ts'
import { ago, bytes, dateTime, num } from '../../app/format.ts'
import { ResourceLink } from '../../parts/ResourceLink.tsx'
import { networkText, networkTone } from '../../parts/status.ts'
import { Badge } from '../../ui/Badge.tsx'
import { Card } from '../../ui/Card.tsx'
import { PropertyList } from '../../ui/PropertyList.tsx'
import type { Tone } from '../../ui/tone.ts'
import { m } from './messages.ts'
import { SocketTable } from './SocketTable.tsx'

const tierTone: Record<'full' | 'partial' | 'none', Tone> = { full: 'ok', partial: 'med', none: 'crit' }
const shownSockets = 8

export function MachineOverview({ machine }: { machine: VirtualMachine }) {
  const state = machine.properties.sekisho
  const facts = state?.facts
  const tags = Object.entries(machine.tags ?? {})
  return (
    <div className="grid gap-4 xl:grid-cols-2">
      <Card title={m.system}>
        <PropertyList
          items={[
            ...(facts ? systemItems(facts) : []),
            [m.location, machine.location],
            [m.tags, <Tags key="tags" tags={tags} />],
          ]}
        />
        {!facts && <p className="mt-3 text-sm text-ink-2">{m.noFacts}</p>}
      </Card>
      <div className="flex flex-col gap-4">
        {state && (
          <Card title={m.rules}>
            <PropertyList
              items={[
                [
                  m.state,
                  <Badge key="state" tone={networkTone[state.network.state]}>
                    {networkText[state.network.state]}
                  </Badge>,
                ],
                [
                  m.generation,
                  m.generationOf(
                    state.network.applied === null ? '–' : num(state.network.applied),
                    num(state.network.generation),
                  ),
                ],
                ...(state.network.message ? ([[m.message, state.network.message]] satisfies [string, string][]) : []),
                ...(facts?.capabilities?.nftables
                  ? ([[m.enforcement, <Tier key="tier" {...facts.capabilities.nftables} />]] satisfies [
                      string,
                      React.ReactNode,
                    ][])
                  : []),
              ]}
            />
          </Card>
        )}
        {facts?.sockets && (
          <Card
            flush
            title={m.listening}
            actions={
              facts.sockets.length > shownSockets && (
                <ResourceLink id={machine.id} tab="facts" className="text-xs font-medium text-accent">
                  {m.all}
                </ResourceLink>
              )
            }
          >
            <SocketTable sockets={facts.sockets.slice(0, shownSockets)} />
          </Card>
        )}
      </div>
    </div>
  )
}

function Tags({ tags }: { tags: [string, string][] }) {
  if (tags.length === 0) return m.none
  return (
    <span className="flex flex-wrap gap-1">
      {tags.map(([name, value]) => (
        <Badge key={name} tone="low">
          {name}: {value}
        </Badge>
      ))}
    </span>
  )
}

function Tier({ tier, detail }: { tier: 'full' | 'partial' | 'none'; detail: string }) {
  return (
    <span className="flex flex-wrap items-center gap-2">
      <Badge tone={tierTone[tier]}>{tier === 'none' ? m.noneTier : m[tier]}</Badge>
      <span className="text-xs text-ink-2">{detail}</span>
    </span>
  )
}

/** A minute is what people and logs begin to notice. */
const noticedSeconds = 60

function ClockText({ ahead }: { ahead: number }) {
  if (Math.abs(ahead) < noticedSeconds) return m.clockRight
  return <Badge tone="med">{(ahead > 0 ? m.clockAhead : m.clockBehind)(num(Math.abs(ahead)))}</Badge>
}

function systemItems({
  hostname,
  os,
  kernel,
  cpu,
  memory,
  bootedAt,
  nics,
  agent,
  clock,
}: Partial<Facts>): [string, React.ReactNode][] {
  const addresses = nics?.flatMap((nic) => nic.addresses) ?? []
  const items: [string, React.ReactNode][] = []
  if (hostname)
    items.push([
      m.hostname,
      <span key="host" className="font-mono text-xs">
        {hostname}
      </span>,
    ])
  if (os) items.push([m.os, os.prettyName])
  if (kernel) items.push([m.kernel, `${kernel.release} (${kernel.arch})`])
  if (cpu) items.push([m.cpu, `${num(cpu.count)} × ${cpu.model}`])
  if (memory) items.push([m.memory, m.memoryUse(bytes(memory.availableBytes), bytes(memory.totalBytes))])
  if (addresses.length > 0)
    items.push([
      m.addresses,
      <span key="address" className="font-mono text-xs">
        {addresses.join(', ')}
      </span>,
    ])
  if (bootedAt) items.push([m.booted, `${dateTime(bootedAt)} (${ago(bootedAt)})`])
  if (clock) items.push([m.clock, <ClockText key="clock" ahead={clock.aheadSeconds ?? 0} />])
  if (agent) {
    const { memoryBytes, cpuPercent, tasks } = agent.limits ?? {}
    const limits = [
      memoryBytes && m.limitMemory(bytes(memoryBytes)),
      cpuPercent && m.limitCpu(num(cpuPercent)),
      tasks && m.limitTasks(num(tasks)),
    ].filter(Boolean)
    items.push([m.agent, agent.version], [m.limits, limits.join(', ') || m.none])
  }
  return items
}
