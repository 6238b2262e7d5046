import { getRouteApi, Link } from '@tanstack/react-router'
import { LinkTabs } from '../../parts/LinkTabs.tsx'
import { tabClass } from '../../parts/tabClass.ts'
import { Page } from '../../ui/Page.tsx'
import { GroupsTab } from './GroupsTab.tsx'
import { m } from './messages.ts'
import { PeopleTab } from './PeopleTab.tsx'

const route = getRouteApi('/shell/people')

export default function PeoplePage() {
  const { tab } = route.useSearch()
  const current = tab === 'groups' ? 'groups' : 'people'
  return (
    <Page
      title={m.title}
      tabs={
        <LinkTabs>
          <Link
            to="/people"
            search={{}}
            aria-current={current === 'people' ? 'page' : undefined}
            className={tabClass(current === 'people')}
          >
            {m.people}
          </Link>
          <Link
            to="/people"
            search={{ tab: 'groups' }}
            aria-current={current === 'groups' ? 'page' : undefined}
            className={tabClass(current === 'groups')}
          >
            {m.groups}
          </Link>
        </LinkTabs>
      }
    >
      {current === 'people' ? <PeopleTab /> : <GroupsTab />}
    </Page>
  )
}
