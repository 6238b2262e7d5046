import { messages } from '../app/i18n.ts'
import { parseArmId } from '../domain/armId.ts'
import { CopyButton } from '../ui/CopyButton.tsx'
import { ResourceLink } from './ResourceLink.tsx'

const m = messages({ copy: { en: 'Copy the resource id', ja: 'リソース ID をコピー' } })

/** Kind and resource group above a resource's name, and its id to take along. */
export function Breadcrumb({ id, kind }: { id: string; kind: string }) {
  const parsed = parseArmId(id)
  const group = parsed?.resourceGroup
    ? `/subscriptions/${parsed.subscriptionId}/resourceGroups/${parsed.resourceGroup}`
    : undefined
  return (
    <span className="flex items-center gap-1.5">
      {kind}
      {group && (
        <>
          <span aria-hidden>·</span>
          <ResourceLink id={group} className="text-ink-2" />
        </>
      )}
      <CopyButton text={id} label={m.copy} />
    </span>
  )
}
