import { Link } from '@tanstack/react-router'
import { LinkTabs } from './LinkTabs.tsx'
import { tabClass } from './tabClass.ts'

type Props = { id: string; tabs: { id: string; label: string }[]; current: string }

/** The first tab is the resource's own address; the others hang a segment on it. */
export function ResourceTabs({ id, tabs, current }: Props) {
  return (
    <LinkTabs>
      {tabs.map((tab, index) => (
        <Link
          key={tab.id}
          to="/r/$"
          params={{ _splat: index === 0 ? id.slice(1) : `${id.slice(1)}/${tab.id}` }}
          search={{}}
          aria-current={tab.id === current ? 'page' : undefined}
          className={tabClass(tab.id === current)}
        >
          {tab.label}
        </Link>
      ))}
    </LinkTabs>
  )
}
