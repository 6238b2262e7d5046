import { useQuery } from '@tanstack/react-query'
import { TriangleAlert } from 'lucide-react'
import { useState } from 'react'
import { networkQueries } from '../../api/queries/network.ts'
import type { SecurityGroup } from '../../api/types.ts'
import { resourceWrite } from '../../api/writes.ts'
import { useUnsaved } from '../../app/unsaved.ts'
import { isAuditOnly } from '../../domain/rules.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Button } from '../../ui/Button.tsx'
import { Segments } from '../../ui/Segments.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { m } from './messages.ts'

const flows = ['keep', 'reevaluate', 'drop'] as const
type Flows = (typeof flows)[number]

function flowsOf({ properties: { sekisho, flushConnection } }: SecurityGroup): Flows {
  const said = sekisho?.existingFlows?.toLowerCase()
  return flows.find((word) => word === said) ?? (flushConnection ? 'reevaluate' : 'keep')
}

const exceptions = ['auto', 'azure', 'none'] as const
type Exceptions = (typeof exceptions)[number]

function exceptionsOf({ properties: { sekisho } }: SecurityGroup): Exceptions {
  const said = sekisho?.platformExceptions?.toLowerCase()
  return exceptions.find((word) => word === said) ?? 'auto'
}

/** What a group does beside its rules. */
export function SettingsPanel({ group, onClose }: { group: SecurityGroup; onClose: () => void }) {
  const [mode, setMode] = useState<'enforce' | 'audit'>(isAuditOnly(group) ? 'audit' : 'enforce')
  const [existingFlows, setFlows] = useState<Flows>(flowsOf(group))
  const [review, setReview] = useState(false)
  const [platformExceptions, setExceptions] = useState<Exceptions>(exceptionsOf(group))
  const isSame =
    (mode === 'audit') === isAuditOnly(group) &&
    existingFlows === flowsOf(group) &&
    platformExceptions === exceptionsOf(group)
  const close = useUnsaved(!isSame, onClose)
  const properties = {
    ...group.properties,
    // Azure's word says the same of two of the three.
    flushConnection: existingFlows !== 'keep',
    sekisho: { ...group.properties.sekisho, mode, existingFlows, platformExceptions },
  }
  return (
    <SidePanel
      title={m.settingsOf(group.name)}
      onClose={close}
      footer={
        <>
          <Button onPress={close}>{m.cancel}</Button>
          <Button variant="primary" isDisabled={isSame} onPress={() => setReview(true)}>
            {m.review}
          </Button>
        </>
      }
    >
      <div className="flex flex-col gap-5">
        <Segments
          label={m.mode}
          value={mode}
          onChange={setMode}
          options={[
            { id: 'enforce', label: m.modeEnforce },
            { id: 'audit', label: m.modeAudit },
          ]}
        />
        {mode === 'audit' && <p className="text-xs text-med">{m.modeAuditWhy}</p>}
        <Segments
          label={m.existingFlows}
          value={existingFlows}
          onChange={setFlows}
          options={[
            { id: 'keep', label: m.flowsKeep },
            { id: 'reevaluate', label: m.flowsReevaluate },
            { id: 'drop', label: m.flowsDrop },
          ]}
        />
        <div className="flex flex-col gap-1">
          <Segments
            label={m.platformExceptions}
            value={platformExceptions}
            onChange={setExceptions}
            options={[
              { id: 'auto', label: m.platformAuto },
              { id: 'azure', label: m.platformAzure },
              { id: 'none', label: m.platformNone },
            ]}
          />
          <p className="text-xs text-ink-2">{m.platformWhy}</p>
        </div>
      </div>
      {review && (
        <ReviewDialog
          title={m.settingsOf(group.name)}
          writes={[resourceWrite('PUT', group.id, { etag: group.etag, body: { ...group, properties } })]}
          onClose={() => setReview(false)}
          onDone={onClose}
        />
      )}
    </SidePanel>
  )
}

/** A group that denies nothing says so above its rules. */
export function AuditNote({ group }: { group: SecurityGroup }) {
  const { data } = useQuery(networkQueries.hits(group.id))
  return (
    <p role="status" className="flex items-center gap-2 rounded-lg border border-med/40 px-3 py-2 text-sm">
      <TriangleAlert size={15} className="shrink-0 text-med" aria-hidden />
      {m.auditOnly}. {data && m.wouldBeDenied(data.wouldBeDenied)}
    </p>
  )
}
