import { Globe, Lock, Pencil, Plus, Trash2 } from 'lucide-react'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { networkQueries } from '../../api/queries/network.ts'
import type { Direction, RuleFinding, SecurityGroup, SecurityRule } from '../../api/types.ts'
import { resourceWrite } from '../../api/writes.ts'
import { num } from '../../app/format.ts'
import { nameOf } from '../../domain/armId.ts'
import { exposures } from '../../domain/exposure.ts'
import { type Finding, findingsOf, isTooLarge } from '../../domain/findings.ts'
import { isAuditOnly, listOf } from '../../domain/rules.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { anyText, protocolText, ruleText } from '../../parts/ruleText.ts'
import { accessText, accessTone } from '../../parts/status.ts'
import { Badge } from '../../ui/Badge.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { IconButton } from '../../ui/IconButton.tsx'
import { actionsColumn, Table, type TableColumn } from '../../ui/Table.tsx'
import { m } from './messages.ts'
import { RuleEditor } from './RuleEditor.tsx'

type Row = { rule: SecurityRule; builtIn: boolean; exposed: boolean; finding?: Finding; hits?: number }
type Witness = NonNullable<RuleFinding['witness']>
type Editing = { rule?: SecurityRule }

const mono = (text: string) => <span className="font-mono text-xs break-all">{text}</span>

function peer(rule: SecurityRule, side: 'source' | 'destination') {
  const p = rule.properties
  const asgs = p[`${side}ApplicationSecurityGroups`]
  if (asgs && asgs.length > 0) return mono(asgs.map((asg) => nameOf(asg.id)).join(', '))
  return mono(anyText(listOf(p[`${side}AddressPrefix`], p[`${side}AddressPrefixes`])))
}

function columns(onEdit: (rule: SecurityRule) => void, onRemove: (rule: SecurityRule) => void): TableColumn<Row>[] {
  return [
    {
      id: 'priority',
      header: ruleText.priority,
      width: 'w-20',
      cell: ({ rule }) => <span className="tnum font-mono text-xs">{rule.properties.priority}</span>,
    },
    {
      id: 'name',
      header: ruleText.name,
      cell: ({ rule, builtIn, exposed, finding }) => (
        <span className="flex flex-wrap items-center gap-2" title={rule.properties.description}>
          {builtIn ? (
            <span>{rule.name}</span>
          ) : (
            <button
              type="button"
              onClick={() => onEdit(rule)}
              className="rounded text-left font-medium hover:text-accent hover:underline"
            >
              {rule.name}
            </button>
          )}
          {builtIn && <Badge tone="low">{m.default}</Badge>}
          {exposed && (
            <Badge tone="crit">
              <Globe size={11} aria-hidden />
              {m.exposure}
            </Badge>
          )}
          {finding && <Findings finding={finding} />}
        </span>
      ),
    },
    {
      id: 'port',
      header: ruleText.port,
      cell: ({ rule }) =>
        mono(anyText(listOf(rule.properties.destinationPortRange, rule.properties.destinationPortRanges))),
    },
    {
      id: 'protocol',
      header: ruleText.protocol,
      cell: ({ rule }) => <span className="text-xs">{protocolText(rule.properties.protocol)}</span>,
    },
    { id: 'source', header: ruleText.source, cell: ({ rule }) => peer(rule, 'source') },
    { id: 'destination', header: ruleText.destination, cell: ({ rule }) => peer(rule, 'destination') },
    {
      id: 'access',
      header: ruleText.action,
      width: 'w-20',
      cell: ({ rule }) => <Badge tone={accessTone[rule.properties.access]}>{accessText[rule.properties.access]}</Badge>,
    },
    {
      id: 'hits',
      header: m.hits,
      align: 'right',
      width: 'w-20',
      cell: ({ hits }) => (
        <span className="tnum text-xs text-ink-2" title={m.hitsWhy}>
          {hits === undefined ? '–' : num(hits)}
        </span>
      ),
    },
    {
      ...actionsColumn,
      width: 'w-24',
      cell: ({ rule, builtIn }) =>
        builtIn ? (
          <Lock size={14} className="mr-2.5 ml-auto text-ink-3" aria-label={m.locked} role="img" />
        ) : (
          <span className="flex justify-end">
            <IconButton compact label={m.edit(rule.name)} onPress={() => onEdit(rule)}>
              <Pencil size={14} aria-hidden />
            </IconButton>
            <IconButton compact label={m.deleteRule(rule.name)} onPress={() => onRemove(rule)}>
              <Trash2 size={14} aria-hidden />
            </IconButton>
          </span>
        ),
    },
  ]
}

const packetText = ({ protocol, sourceAddress, destinationAddress, destinationPort }: Witness) =>
  `${protocol} ${sourceAddress} → ${destinationAddress}${destinationPort === undefined ? '' : `:${destinationPort}`}`

/** What the rule loses to others, beside the rule: an example says more than a word. */
function Findings({ finding: { state, by, witness, conflicts } }: { finding: Finding }) {
  const example = (packet?: Witness | null) => (packet ? m.forExample(packetText(packet)) : undefined)
  const others = by.join(', ')
  const text = {
    effective: undefined,
    partlyShadowed: m.partlyShadowed(others),
    redundant: m.redundant(others),
    shadowed: m.shadowed(others),
    empty: m.emptyRule,
  }[state]
  return (
    <>
      {text && (
        <span title={example(witness)}>
          <Badge tone={state === 'partlyShadowed' ? 'low' : 'med'}>{text}</Badge>
        </span>
      )}
      {state !== 'shadowed' &&
        conflicts.map((conflict) => (
          <span key={conflict.with} title={example(conflict.witness)}>
            <Badge tone="low">{m.conflict(conflict.with)}</Badge>
          </span>
        ))}
    </>
  )
}

export function RulesCard({
  group,
  direction,
  highlight,
}: {
  group: SecurityGroup
  direction: Direction
  highlight?: string
}) {
  const [editing, setEditing] = useState<Editing>()
  const [removing, setRemoving] = useState<SecurityRule>()
  const { securityRules = [], defaultSecurityRules = [] } = group.properties
  const analysis = useQuery(networkQueries.analysis(group.id))
  const told = useQuery(networkQueries.hits(group.id)).data
  const audit = isAuditOnly(group)
  const hitsOf = (rule: SecurityRule) =>
    told?.rules.find(
      (hit) =>
        hit.direction === direction &&
        (hit.auditOnly ?? false) === audit &&
        hit.rule.toLowerCase() === rule.name.toLowerCase(),
    )?.packets
  const findings = findingsOf(analysis.data, direction === 'Inbound' ? 'inbound' : 'outbound')
  const exposed = new Set(exposures(group).map((exposure) => exposure.rule.name))
  const rows = [
    ...securityRules.map((rule) => ({
      rule,
      builtIn: false,
      exposed: exposed.has(rule.name),
      finding: findings.get(rule.name),
      hits: hitsOf(rule),
    })),
    ...defaultSecurityRules.map((rule) => ({ rule, builtIn: true, exposed: false, hits: hitsOf(rule) })),
  ]
    .filter((row) => row.rule.properties.direction === direction)
    .toSorted((a, b) => a.rule.properties.priority - b.rule.properties.priority)
  const title = direction === 'Inbound' ? ruleText.inboundRules : ruleText.outboundRules
  const ruleId = (rule: SecurityRule) => `${group.id}/securityRules/${rule.name}`
  return (
    <Card
      flush
      title={title}
      actions={
        <Button
          size="sm"
          onPress={() => setEditing({})}
          aria-label={direction === 'Inbound' ? m.addInbound : m.addOutbound}
        >
          <Plus size={13} aria-hidden />
          {m.add}
        </Button>
      }
    >
      <Table
        label={title}
        rows={rows}
        rowId={({ rule }) => rule.name}
        columns={columns((rule) => setEditing({ rule }), setRemoving)}
        muted={(row) => row.builtIn}
        highlighted={(row) => row.rule.name.toLowerCase() === highlight?.toLowerCase()}
      />
      {isTooLarge(analysis.data) && <p className="border-t border-line px-3 py-2 text-xs text-ink-2">{m.tooLarge}</p>}
      {editing && (
        <RuleEditor group={group} direction={direction} rule={editing.rule} onClose={() => setEditing(undefined)} />
      )}
      {removing && (
        <ReviewDialog
          title={m.deleteRule(removing.name)}
          writes={[resourceWrite('DELETE', ruleId(removing), { etag: removing.etag })]}
          onClose={() => setRemoving(undefined)}
          onDone={() => setRemoving(undefined)}
        />
      )}
    </Card>
  )
}
