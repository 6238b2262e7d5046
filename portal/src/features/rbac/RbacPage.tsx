import { getRouteApi, Link } from '@tanstack/react-router'
import { LinkTabs } from '../../parts/LinkTabs.tsx'
import { tabClass } from '../../parts/tabClass.ts'
import { Page } from '../../ui/Page.tsx'
import { AssignmentsTab } from './AssignmentsTab.tsx'
import { CheckTab } from './CheckTab.tsx'
import { EligibleTab } from './EligibleTab.tsx'
import { m } from './messages.ts'
import { RolesTab } from './RolesTab.tsx'

const route = getRouteApi('/shell/rbac')
const tabs = ['assignments', 'eligible', 'roles', 'check'] as const

export default function RbacPage() {
  const { tab } = route.useSearch()
  const current = tabs.find((item) => item === tab) ?? 'assignments'
  return (
    <Page
      title={m.title}
      tabs={
        <LinkTabs>
          {tabs.map((item) => (
            <Link
              key={item}
              to="/rbac"
              search={item === 'assignments' ? {} : { tab: item }}
              aria-current={item === current ? 'page' : undefined}
              className={tabClass(item === current)}
            >
              {m[item]}
            </Link>
          ))}
        </LinkTabs>
      }
    >
      {current === 'assignments' && <AssignmentsTab />}
      {current === 'eligible' && <EligibleTab />}
      {current === 'roles' && <RolesTab />}
      {current === 'check' && <CheckTab />}
    </Page>
  )
}
