import { useState } from 'react'
import { saveLocation } from '../../api/queries/conditionalAccess.ts'
import type { NamedLocation } from '../../api/types.ts'
import { useUnsaved } from '../../app/unsaved.ts'
import { ReviewDialog } from '../../parts/ReviewDialog.tsx'
import { Button } from '../../ui/Button.tsx'
import { Checkbox } from '../../ui/Checkbox.tsx'
import { Segments } from '../../ui/Segments.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'

const ranges = '#microsoft.graph.ipNamedLocation'
const countries = '#microsoft.graph.countryNamedLocation'

/** What is in a location: its ranges or its countries. */
export const contentOf = (location: NamedLocation) =>
  location['@odata.type'] === countries
    ? (location.countriesAndRegions ?? [])
    : (location.ipRanges ?? []).map(({ cidrAddress }) => cidrAddress)

type Draft = { name: string; kind: 'ranges' | 'countries'; content: string; trusted: boolean; unknown: boolean }

function draftOf(location: NamedLocation | undefined): Draft {
  if (!location) return { name: '', kind: 'ranges', content: '', trusted: false, unknown: false }
  return {
    name: location.displayName,
    kind: location['@odata.type'] === countries ? 'countries' : 'ranges',
    content: contentOf(location).join('\n'),
    trusted: location.isTrusted ?? false,
    unknown: location.includeUnknownCountriesAndRegions ?? false,
  }
}

function locationOf({ name, kind, content, trusted, unknown }: Draft, id: string | undefined): NamedLocation {
  const words = content.split(/[\s,]+/).filter((word) => word !== '')
  return {
    ...(id ? { id } : {}),
    displayName: name.trim(),
    ...(kind === 'ranges'
      ? {
          '@odata.type': ranges,
          isTrusted: trusted,
          ipRanges: words.map((cidrAddress) => ({
            '@odata.type': `#microsoft.graph.iPv${cidrAddress.includes(':') ? '6' : '4'}CidrRange`,
            cidrAddress,
          })),
        }
      : {
          '@odata.type': countries,
          countriesAndRegions: words.map((word) => word.toUpperCase()),
          includeUnknownCountriesAndRegions: unknown,
        }),
  }
}

export function LocationPanel({ location, onClose }: { location?: NamedLocation; onClose: () => void }) {
  const [start] = useState(() => draftOf(location))
  const [draft, setDraft] = useState(start)
  const [review, setReview] = useState(false)
  const close = useUnsaved(JSON.stringify(draft) !== JSON.stringify(start), onClose)
  const set = (change: Partial<Draft>) => setDraft({ ...draft, ...change })
  const isRanges = draft.kind === 'ranges'
  return (
    <SidePanel
      title={location?.displayName ?? m.newLocation}
      onClose={close}
      footer={
        <>
          <Button onPress={close}>{m.cancel}</Button>
          <Button
            variant="primary"
            isDisabled={draft.name.trim() === '' || (draft.content.trim() === '' && !draft.unknown)}
            onPress={() => setReview(true)}
          >
            {m.review}
          </Button>
        </>
      }
    >
      <div className="flex flex-col gap-4">
        <TextField label={m.name} value={draft.name} onChange={(name) => set({ name })} maxLength={256} autoFocus />
        {!location && (
          <Segments
            label={m.kind}
            value={draft.kind}
            onChange={(kind) => set({ kind })}
            options={[
              { id: 'ranges', label: m.ranges },
              { id: 'countries', label: m.countries },
            ]}
          />
        )}
        <TextField
          label={isRanges ? m.ranges : m.countries}
          hint={isRanges ? m.rangesHint : m.countriesHint}
          value={draft.content}
          onChange={(content) => set({ content })}
          rows={8}
          mono
        />
        {isRanges ? (
          <Checkbox isSelected={draft.trusted} onChange={(trusted) => set({ trusted })}>
            {m.trusted}
          </Checkbox>
        ) : (
          <Checkbox isSelected={draft.unknown} onChange={(unknown) => set({ unknown })}>
            {m.unknown}
          </Checkbox>
        )}
      </div>
      {review && (
        <ReviewDialog
          title={location?.displayName ?? m.newLocation}
          writes={[saveLocation(locationOf(draft, location?.id))]}
          confirm={m.saveLocation}
          done={m.savedLocation}
          onClose={() => setReview(false)}
          onDone={onClose}
        />
      )}
    </SidePanel>
  )
}
