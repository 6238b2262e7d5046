import { getRouteApi, Link } from '@tanstack/react-router'
import { LinkTabs } from '../../parts/LinkTabs.tsx'
import { tabClass } from '../../parts/tabClass.ts'
import { Page } from '../../ui/Page.tsx'
import { LocationsTab } from './LocationsTab.tsx'
import { m } from './messages.ts'
import { PoliciesTab } from './PoliciesTab.tsx'
import { SignInsTab } from './SignInsTab.tsx'
import { WhatIfTab } from './WhatIfTab.tsx'

const route = getRouteApi('/shell/conditional-access')
const tabs = ['policies', 'locations', 'whatIf', 'signIns'] as const

export default function ConditionalAccessPage() {
  const search = route.useSearch()
  const current = tabs.find((tab) => tab === search.tab) ?? 'policies'
  return (
    <Page
      title={m.title}
      subtitle={m.subtitle}
      tabs={
        <LinkTabs>
          {tabs.map((tab) => (
            <Link
              key={tab}
              to="/conditional-access"
              search={tab === 'policies' ? {} : { tab }}
              aria-current={current === tab ? 'page' : undefined}
              className={tabClass(current === tab)}
            >
              {m[tab]}
            </Link>
          ))}
        </LinkTabs>
      }
    >
      {current === 'policies' && <PoliciesTab />}
      {current === 'locations' && <LocationsTab />}
      {current === 'whatIf' && <WhatIfTab />}
      {current === 'signIns' && <SignInsTab />}
    </Page>
  )
}
