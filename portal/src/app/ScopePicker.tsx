import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { ChevronDown, Cloud } from 'lucide-react'
import { Button } from 'react-aria-components'
import { fleetQueries } from '../api/queries/fleet.ts'
import { Menu } from '../ui/Menu.tsx'
import { messages } from './i18n.ts'
import { useScope } from './scope.ts'

const m = messages({
  scope: { en: 'Scope', ja: 'スコープ' },
  all: { en: 'All resource groups', ja: 'すべてのリソース グループ' },
  none: { en: 'No subscription', ja: 'サブスクリプションなし' },
})

export function ScopePicker() {
  const navigate = useNavigate()
  const { session, subscription, subscriptionId, resourceGroup } = useScope()
  const { data: groups = [] } = useQuery({
    ...fleetQueries.resourceGroups(subscriptionId),
    enabled: subscriptionId !== '',
  })

  const choose = (search: { sub?: string; rg?: string }) =>
    void navigate({ to: '.', search: (old) => ({ ...old, ...search }) })

  const others = session.subscriptions.filter((item) => item.id !== subscription?.id)
  const actions = [
    { id: '*', text: m.all, label: m.all, onAction: () => choose({ rg: undefined }) },
    ...groups.map((group) => ({
      id: group.id,
      text: group.name,
      label: group.name,
      onAction: () => choose({ rg: group.name }),
    })),
    ...others.map((item) => ({
      id: item.id,
      text: item.displayName,
      label: (
        <>
          <Cloud size={14} className="text-ink-3" aria-hidden /> {item.displayName}
        </>
      ),
      onAction: () => choose({ sub: item.subscriptionId, rg: undefined }),
    })),
  ]
  return (
    <Menu label={m.scope} actions={actions}>
      <Button className="flex h-8 min-w-0 items-center gap-2 rounded-md border border-line px-2.5 text-sm hover:bg-sunken">
        <Cloud size={15} className="shrink-0 text-ink-3" aria-hidden />
        <span className="sr-only">{m.scope}: </span>
        <span className="truncate">{subscription?.displayName ?? m.none}</span>
        <span className="text-ink-3" aria-hidden>
          /
        </span>
        <span className="truncate text-ink-2">{resourceGroup ?? m.all}</span>
        <ChevronDown size={14} className="shrink-0 text-ink-3" aria-hidden />
      </Button>
    </Menu>
  )
}
