import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { Form } from 'react-aria-components'
import { type SimulatedPacket, simulate } from '../../api/queries/network.ts'
import type { Direction, Simulation } from '../../api/types.ts'
import { messages } from '../../app/i18n.ts'
import { nameOf } from '../../domain/armId.ts'
import { protocols } from '../../domain/rules.ts'
import { ResourceLink } from '../../parts/ResourceLink.tsx'
import { directionText, protocolText, ruleText } from '../../parts/ruleText.ts'
import { accessText, accessTone } from '../../parts/status.ts'
import { Badge } from '../../ui/Badge.tsx'
import { Button } from '../../ui/Button.tsx'
import { ErrorNote } from '../../ui/ErrorNote.tsx'
import { Segments } from '../../ui/Segments.tsx'
import { TextField } from '../../ui/TextField.tsx'

const m = messages({
  title: { en: 'Would this packet pass?', ja: 'このパケットは通過するか' },
  other: { en: 'Address of the other side', ja: '相手の IP アドレス' },
  own: { en: 'Address of the machine', ja: 'マシンの IP アドレス' },
  sourcePort: { en: 'Source port', ja: 'ソース ポート' },
  destinationPort: { en: 'Destination port', ja: '宛先ポート' },
  direction: { en: 'Direction', ja: '方向' },
  ask: { en: 'Try', ja: '確認' },
  notFiltered: {
    en: 'No security group filters this direction.',
    ja: 'この方向を制御するセキュリティ グループはありません。',
  },
  keepsAlive: {
    en: 'The interface needs such packets: no rule is asked.',
    ja: 'NIC の動作に必要なパケットのため、規則は評価されません。',
  },
  platform: {
    en: 'It goes to a service of Azure’s platform: no rule is asked.',
    ja: 'Azure プラットフォームのサービス宛てのため、規則は評価されません。',
  },
  noRule: { en: 'no rule matches', ja: '一致する規則なし' },
})

// An input's own width follows its font, which may come late.
const [address, port] = ['w-48', 'w-28']

const portless = (protocol: string) => ['Icmp', 'Esp', 'Ah'].includes(protocol)

/** One packet, judged by the rules that the machine enforces. */
export function PacketTrial({ nicId, address: first }: { nicId: string; address: string }) {
  const [direction, setDirection] = useState<Direction>('Inbound')
  const [protocol, setProtocol] = useState('Tcp')
  const [own, setOwn] = useState(first)
  const [other, setOther] = useState('')
  const [sourcePort, setSourcePort] = useState('50000')
  const [destinationPort, setDestinationPort] = useState('443')
  const inbound = direction === 'Inbound'
  const packet: SimulatedPacket = {
    direction,
    protocol,
    sourceAddress: inbound ? other : own,
    destinationAddress: inbound ? own : other,
    ...(portless(protocol) ? {} : { sourcePort: Number(sourcePort), destinationPort: Number(destinationPort) }),
  }
  const ask = useMutation({ mutationFn: () => simulate(nicId, packet) })
  return (
    <div className="border-t border-line px-4 py-3">
      <h3 className="mb-2 text-sm font-semibold">{m.title}</h3>
      <Form
        className="flex flex-wrap items-end gap-3"
        onSubmit={(event) => {
          event.preventDefault()
          ask.mutate()
        }}
      >
        <Segments
          label={m.direction}
          value={direction}
          onChange={setDirection}
          options={[
            { id: 'Inbound', label: directionText.Inbound },
            { id: 'Outbound', label: directionText.Outbound },
          ]}
        />
        <Segments
          label={ruleText.protocol}
          value={protocol}
          onChange={setProtocol}
          options={protocols.filter((id) => id !== '*').map((id) => ({ id: id as string, label: protocolText(id) }))}
        />
        <TextField
          label={m.other}
          value={other}
          onChange={setOther}
          placeholder="203.0.113.7"
          isRequired
          mono
          className={address}
        />
        <TextField label={m.own} value={own} onChange={setOwn} isRequired mono className={address} />
        {!portless(protocol) && (
          <>
            <TextField
              label={m.sourcePort}
              value={sourcePort}
              onChange={setSourcePort}
              inputMode="numeric"
              mono
              className={port}
            />
            <TextField
              label={m.destinationPort}
              value={destinationPort}
              onChange={setDestinationPort}
              inputMode="numeric"
              mono
              className={port}
            />
          </>
        )}
        <Button type="submit" variant="primary" isDisabled={other === '' || own === ''} isPending={ask.isPending}>
          {m.ask}
        </Button>
      </Form>
      <div className="mt-3" aria-live="polite">
        {ask.error && <ErrorNote error={ask.error} />}
        {ask.data && <Answer simulation={ask.data} />}
      </div>
    </div>
  )
}

function Answer({ simulation: { access, reason, groups } }: { simulation: Simulation }) {
  return (
    <div className="flex flex-col gap-1.5 text-sm">
      <p className="flex items-center gap-2">
        <Badge tone={accessTone[access]}>{accessText[access]}</Badge>
        {reason !== 'rules' && m[reason]}
      </p>
      <ol className="flex flex-col gap-1">
        {groups.map((group) => (
          <li key={group.appliedTo} className="flex flex-wrap items-baseline gap-2 text-xs">
            <Badge tone={accessTone[group.access]}>{accessText[group.access]}</Badge>
            <ResourceLink id={group.networkSecurityGroup} />
            <span className="font-mono">{group.rule ? `${group.priority} ${group.rule}` : m.noRule}</span>
            <span className="text-ink-2">{nameOf(group.appliedTo)}</span>
          </li>
        ))}
      </ol>
    </div>
  )
}
