import { protocols } from '../../domain/rules.ts'
import { protocolText, ruleText } from '../../parts/ruleText.ts'
import { Segments } from '../../ui/Segments.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'

type Packets = { destinationPorts: string; protocol: string }
type Props = {
  draft: Packets
  set: <K extends keyof Packets>(field: K) => (value: Packets[K]) => void
  error: string | undefined
}

/** Where packets go and what they speak, as rules and invariants say it. */
export function PacketFields({ draft, set, error }: Props) {
  return (
    <>
      <TextField
        label={ruleText.destinationPorts}
        value={draft.destinationPorts}
        onChange={set('destinationPorts')}
        hint={m.portsHint}
        error={error}
        mono
      />
      <Segments
        label={ruleText.protocol}
        value={draft.protocol}
        onChange={set('protocol')}
        options={protocols.map((protocol) => ({ id: protocol as string, label: protocolText(protocol) }))}
      />
    </>
  )
}
