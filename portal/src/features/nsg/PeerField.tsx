import { useQuery } from '@tanstack/react-query'
import { networkQueries } from '../../api/queries/network.ts'
import { useScope } from '../../app/scope.ts'
import { sameId } from '../../domain/armId.ts'
import { type Peer, type PeerKind, serviceTags } from '../../domain/rules.ts'
import { Checkbox } from '../../ui/Checkbox.tsx'
import { ComboBox } from '../../ui/ComboBox.tsx'
import { Segments } from '../../ui/Segments.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'

type Props = {
  side: 'source' | 'destination'
  peer: Peer
  onChange: (peer: Peer) => void
  error?: string
  withMachines?: boolean
}

/** Who talks, or who is talked to: anyone, addresses, a service tag, application security groups, or machines. */
export function PeerField({ side, peer, onChange, error, withMachines = false }: Props) {
  const kinds: { id: PeerKind; label: string }[] = [
    { id: 'any', label: m.kindAny },
    { id: 'ip', label: m.kindIp },
    { id: 'tag', label: m.kindTag },
    { id: 'asg', label: m.kindAsg },
    ...(withMachines ? [{ id: 'machines' as const, label: m.kindMachines }] : []),
  ]
  return (
    <div className="flex flex-col gap-2">
      <Segments
        label={side === 'source' ? m.sourceKind : m.destinationKind}
        value={peer.kind}
        onChange={(kind) => onChange({ ...peer, kind })}
        options={kinds}
      />
      {peer.kind === 'ip' && (
        <TextField
          label={side === 'source' ? m.sourceAddresses : m.destinationAddresses}
          value={peer.addresses}
          onChange={(addresses) => onChange({ ...peer, addresses })}
          placeholder="10.0.0.0/24, 2001:db8::/32"
          error={error}
          mono
        />
      )}
      {peer.kind === 'tag' && (
        <TagField
          label={side === 'source' ? m.sourceTag : m.destinationTag}
          tag={peer.tag}
          onChange={(tag) => onChange({ ...peer, tag })}
        />
      )}
      {peer.kind === 'machines' && (
        <TextField
          label={side === 'source' ? m.sourceMachines : m.destinationMachines}
          value={peer.machineTags}
          onChange={(machineTags) => onChange({ ...peer, machineTags })}
          placeholder="env=prod"
          hint={m.machineTagsHint}
          error={error}
          mono
        />
      )}
      {peer.kind === 'asg' && <AsgList side={side} peer={peer} onChange={onChange} error={error} />}
    </div>
  )
}

function TagField({ label, tag, onChange }: { label: string; tag: string; onChange: (tag: string) => void }) {
  const { subscriptionId } = useScope()
  const { data: known = [], isPending } = useQuery(networkQueries.serviceTags(subscriptionId))
  // A tag the list does not know (set by another client) stays selectable instead of being lost.
  const tags = [...new Set([...serviceTags, ...known.map(({ name }) => name), tag])].filter(Boolean)
  const options = tags.map((id) => ({ id, label: id }))
  return (
    <ComboBox key={String(isPending)} label={label} value={tag} onChange={onChange} options={options} empty={m.noTag} />
  )
}

function AsgList({ side, peer, onChange, error }: Props) {
  const { subscriptionId } = useScope()
  const { data: asgs = [] } = useQuery(networkQueries.asgs(subscriptionId))
  const without = (id: string) => peer.asgs.filter((item) => !sameId(item, id))
  return (
    <div
      role="group"
      aria-label={side === 'source' ? m.sourceAsgs : m.destinationAsgs}
      className="flex flex-col gap-1.5"
    >
      {asgs.length === 0 && <p className="text-xs text-ink-2">{m.noAsgs}</p>}
      {asgs.map((asg) => (
        <Checkbox
          key={asg.id}
          isSelected={peer.asgs.some((id) => sameId(id, asg.id))}
          onChange={(on) => onChange({ ...peer, asgs: on ? [...without(asg.id), asg.id] : without(asg.id) })}
        >
          {asg.name}
        </Checkbox>
      ))}
      {error && <p className="text-xs text-crit">{error}</p>}
    </div>
  )
}
