import { useQuery } from '@tanstack/react-query'
import { fleetQueries } from '../../api/queries/fleet.ts'
import { messages } from '../../app/i18n.ts'
import { nameOf, parseArmId } from '../../domain/armId.ts'
import { ActivitySection } from '../../parts/ActivitySection.tsx'
import { Breadcrumb } from '../../parts/Breadcrumb.tsx'
import { JsonCard } from '../../parts/JsonCard.tsx'
import { ResourceTabs } from '../../parts/ResourceTabs.tsx'
import { Section } from '../../parts/Section.tsx'
import { Card } from '../../ui/Card.tsx'
import { Page } from '../../ui/Page.tsx'

const m = messages({
  json: { en: 'JSON', ja: 'JSON' },
  activity: { en: 'Activity log', ja: 'アクティビティ ログ' },
})

/** Any resource without a page of its own: every ARM id opens to something. */
export default function AnyResourcePage({ id, tab = 'json' }: { id: string; tab?: string }) {
  const resource = useQuery(fleetQueries.resource(id))
  const type = parseArmId(id)?.type ?? ''
  return (
    <Page
      kicker={<Breadcrumb id={id} kind={type} />}
      title={nameOf(id)}
      tabs={
        <ResourceTabs
          id={id}
          current={tab}
          tabs={[
            { id: 'json', label: m.json },
            { id: 'activity', label: m.activity },
          ]}
        />
      }
    >
      {tab === 'activity' ? (
        <Card flush>
          <ActivitySection filter={{ hours: 24 * 30, resourceId: id }} withoutResource />
        </Card>
      ) : (
        <Section query={resource}>{(data) => <JsonCard value={data} />}</Section>
      )}
    </Page>
  )
}
