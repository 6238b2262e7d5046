import { useQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { useState } from 'react'
import { authorizationQueries } from '../../api/queries/authorization.ts'
import type { RoleDefinition } from '../../api/types.ts'
import { useScope } from '../../app/scope.ts'
import { Section } from '../../parts/Section.tsx'
import { Badge } from '../../ui/Badge.tsx'
import { Card } from '../../ui/Card.tsx'
import { SearchField } from '../../ui/SearchField.tsx'
import { SidePanel } from '../../ui/SidePanel.tsx'
import { Table } from '../../ui/Table.tsx'
import { m } from './messages.ts'

const route = getRouteApi('/shell/rbac')

export function RolesTab() {
  const { subscriptionId } = useScope()
  const { role } = route.useSearch()
  const navigate = route.useNavigate()
  const roles = useQuery(authorizationQueries.definitions(subscriptionId))
  const [query, setQuery] = useState('')
  const open = (name?: string) => void navigate({ search: (old) => ({ ...old, role: name }) })
  const needle = query.trim().toLowerCase()
  return (
    <Card flush>
      <div className="border-b border-line px-3 py-2.5">
        <SearchField label={m.find} value={query} onChange={setQuery} />
      </div>
      <Section query={roles}>
        {(all) => {
          const shown = all.find((item) => item.name === role)
          const rows = all.filter(({ properties: p }) =>
            `${p.roleName} ${p.description}`.toLowerCase().includes(needle),
          )
          return (
            <>
              <Table
                label={m.roles}
                rows={rows}
                rowId={(item) => item.id}
                columns={[
                  {
                    id: 'name',
                    header: m.role,
                    cell: (item) => (
                      <button
                        type="button"
                        onClick={() => open(item.name)}
                        className="rounded text-left font-medium whitespace-nowrap hover:text-accent hover:underline"
                      >
                        {item.properties.roleName}
                      </button>
                    ),
                  },
                  {
                    id: 'type',
                    header: m.type,
                    cell: ({ properties }) => (
                      <Badge tone={isBuiltIn(properties) ? 'low' : 'accent'}>
                        {isBuiltIn(properties) ? m.builtIn : m.customRole}
                      </Badge>
                    ),
                  },
                  {
                    id: 'description',
                    header: m.description,
                    cell: (item) => <span className="text-ink-2">{item.properties.description}</span>,
                  },
                ]}
              />
              {shown && <RolePanel role={shown} onClose={() => open()} />}
            </>
          )
        }}
      </Section>
    </Card>
  )
}

const isBuiltIn = (properties: RoleDefinition['properties']) => properties.type.toLowerCase().includes('builtin')

function RolePanel({ role, onClose }: { role: RoleDefinition; onClose: () => void }) {
  const { permissions, assignableScopes = [], roleName, description } = role.properties
  return (
    <SidePanel title={roleName} subtitle={description} onClose={onClose}>
      <div className="flex flex-col gap-4">
        <Patterns title={m.allowed} patterns={permissions.flatMap((item) => item.actions)} />
        <Patterns title={m.notAllowed} patterns={permissions.flatMap((item) => item.notActions)} />
        <Patterns title={m.data} patterns={permissions.flatMap((item) => item.dataActions ?? [])} />
        <Patterns title={m.notData} patterns={permissions.flatMap((item) => item.notDataActions ?? [])} />
        <Patterns title={m.assignable} patterns={assignableScopes} />
      </div>
    </SidePanel>
  )
}

function Patterns({ title, patterns }: { title: string; patterns: string[] }) {
  if (patterns.length === 0) return null
  return (
    <section>
      <h3 className="mb-1 text-xs font-medium text-ink-2">{title}</h3>
      <ul className="rounded-lg border border-line bg-sunken px-3 py-2 font-mono text-xs leading-6">
        {patterns.map((pattern) => (
          <li key={pattern} className="break-all">
            {pattern}
          </li>
        ))}
      </ul>
    </section>
  )
}
