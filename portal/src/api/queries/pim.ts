import { queryOptions } from '@tanstack/react-query'
import { armUrl } from '../arm.ts'
import { call, listAll } from '../client.ts'
import { types } from '../keys.ts'
import type { PrincipalType } from '../types.ts'
import { resourceWrite, type Write } from '../writes.ts'

/** Rows of these lists are put together by the server from several things, and are not described further. */
type Named = { id: string; displayName?: string | null; type?: string | null }
export type RoleSpan = {
  id: string
  name: string
  properties: {
    scope: string
    roleDefinitionId: string
    principalId: string
    principalType: PrincipalType
    startDateTime?: string | null
    endDateTime?: string | null
    assignmentType?: 'Activated' | 'Assigned'
    expandedProperties: { scope: Named; roleDefinition: Named; principal: Named }
  }
}
export type EligibleRole = RoleSpan & {
  properties: {
    activation: {
      maximumDuration: string
      multiFactor: boolean
      phishingResistant: boolean
      justification: boolean
      ticketing: boolean
      approval: boolean
      boundToSignIn: boolean
    }
  }
}
export type RoleRequest = RoleSpan & {
  properties: {
    requestType: string
    status: string
    createdOn: string
    justification?: string | null
    ticketInfo?: { ticketNumber?: string | null } | null
    approvalId?: string | null
    scheduleInfo?: { startDateTime?: string | null; expiration?: { duration?: string | null } } | null
  }
}
export type RoleChild = { id: string; name: string; type: string }
export type PolicyRule = { id: string; ruleType: string; [field: string]: unknown }
type Approval = { properties: { stages: { id: string }[] } }

const path = (scope: string, type: string) => `${scope === '/' ? '' : scope}/providers/Microsoft.Authorization/${type}`
const url = (scope: string, type: string, filter?: string) =>
  armUrl(path(scope, type), 'microsoft.authorization', filter ? { $filter: filter } : {})

const standing: RoleSpan['properties']['assignmentType'] = 'Activated'

export const pimQueries = {
  /** What the person may activate, anywhere. */
  eligible: () =>
    queryOptions({
      queryKey: [types.eligibility, 'mine'],
      queryFn: ({ signal }) => listAll<EligibleRole>(url('', 'roleEligibilityScheduleInstances', 'asTarget()'), signal),
    }),
  /** What the person has activated. */
  active: () =>
    queryOptions({
      queryKey: [types.activation, 'mine'],
      queryFn: async ({ signal }) => {
        const all = await listAll<RoleSpan>(url('', 'roleAssignmentScheduleInstances', 'asTarget()'), signal)
        return all.filter((row) => row.properties.assignmentType === standing)
      },
    }),
  requests: () =>
    queryOptions({
      queryKey: [types.roleRequest, 'mine'],
      queryFn: ({ signal }) => listAll<RoleRequest>(url('', 'roleAssignmentScheduleRequests', 'asRequestor()'), signal),
    }),
  /** What waits for the person's yes. Whoever decides may not read the requests otherwise, and hears of none. */
  waiting: () =>
    queryOptions({
      queryKey: [types.roleRequest, 'waiting'],
      refetchInterval: 15_000,
      queryFn: ({ signal }) => listAll<RoleRequest>(url('', 'roleAssignmentScheduleRequests', 'asApprover()'), signal),
    }),
  children: (scope: string) =>
    queryOptions({
      queryKey: [types.eligibility, 'children', scope],
      queryFn: ({ signal }) => listAll<RoleChild>(url(scope, 'eligibleChildResources'), signal),
    }),
  /** What everybody could have or has for a time, around a scope. */
  spans: (scope: string) =>
    queryOptions({
      queryKey: [types.eligibility, scope],
      queryFn: async ({ signal }) => {
        const [eligible, active] = await Promise.all(
          ['roleEligibilitySchedules', 'roleAssignmentSchedules'].map((type) =>
            listAll<RoleSpan>(url(scope, type), signal),
          ),
        )
        return [...(eligible ?? []), ...(active ?? [])]
      },
    }),
  settings: (scope: string, role: string) =>
    queryOptions({
      queryKey: [types.roleSettings, scope, role],
      queryFn: ({ signal }) =>
        call<{ properties: { rules: PolicyRule[] } }>('GET', url(scope, `roleManagementPolicies/${role}`), { signal }),
    }),
}

type Times = { start?: string; minutes?: number }
const scheduleInfo = ({ start, minutes }: Times) => ({
  startDateTime: start,
  expiration: minutes === undefined ? { type: 'NoExpiration' } : { type: 'AfterDuration', duration: `PT${minutes}M` },
})

/** The two kinds of things that people have for a time. */
export type SpanKind = 'Eligibility' | 'Assignment'
export type NewSpan = Times & {
  kind: SpanKind
  scope: string
  roleDefinitionId: string
  principalId: string
  justification: string
}

const request = (kind: SpanKind, scope: string, properties: object) =>
  resourceWrite<RoleRequest>('PUT', path(scope, `role${kind}ScheduleRequests/${crypto.randomUUID()}`), {
    body: { properties },
  })

export const assignSpan = ({ kind, scope, start, minutes, ...rest }: NewSpan): Write<RoleRequest> =>
  request(kind, scope, { ...rest, requestType: 'AdminAssign', scheduleInfo: scheduleInfo({ start, minutes }) })

export const endSpan = ({ id, properties }: RoleSpan): Write<RoleRequest> => {
  const kind = id.toLowerCase().includes('/roleeligibilityschedules/') ? 'Eligibility' : 'Assignment'
  const { scope, roleDefinitionId, principalId } = properties
  return request(kind, scope, {
    roleDefinitionId,
    principalId,
    requestType: 'AdminRemove',
    [`targetRole${kind}ScheduleId`]: id,
  })
}

export type Activation = Times & { role: EligibleRole; person: string; scope: string; reason: string; ticket: string }

export const activate = ({ role, person, scope, reason, ticket, start, minutes }: Activation): Write<RoleRequest> =>
  request('Assignment', scope, {
    roleDefinitionId: role.properties.roleDefinitionId,
    principalId: person,
    requestType: 'SelfActivate',
    linkedRoleEligibilityScheduleId: role.name,
    justification: reason || undefined,
    ticketInfo: ticket ? { ticketNumber: ticket } : undefined,
    scheduleInfo: scheduleInfo({ start, minutes }),
  })

export const deactivate = ({ name, properties }: RoleSpan): Write<RoleRequest> =>
  request('Assignment', properties.scope, {
    roleDefinitionId: properties.roleDefinitionId,
    principalId: properties.principalId,
    requestType: 'SelfDeactivate',
    targetRoleAssignmentScheduleId: name,
  })

export const cancelRequest = ({ id, properties }: RoleRequest): Write<void> => ({
  method: 'POST',
  url: armUrl(`${id}/cancel`, 'microsoft.authorization'),
  body: {},
  operation: 'Microsoft.Authorization/roleAssignmentScheduleRequests/cancel/action',
  target: { name: id },
  foresee: () =>
    Promise.resolve([
      {
        resourceId: id,
        changeType: 'Modify',
        before: { properties: { status: properties.status } },
        after: { properties: { status: 'Canceled' } },
      },
    ]),
})

/** The write that decides on a request: its approval has one stage, whose name only the server knows. */
export async function decision({ properties }: RoleRequest, result: 'Approve' | 'Deny', justification: string) {
  const approval = await call<Approval>('GET', armUrl(properties.approvalId ?? '', 'microsoft.authorization'))
  const stage = approval.properties.stages[0]?.id ?? ''
  return resourceWrite('PUT', stage, { body: { properties: { reviewResult: result, justification } } })
}

export const saveSettings = (scope: string, role: string, rules: PolicyRule[]) =>
  resourceWrite('PUT', path(scope, `roleManagementPolicies/${role}`), { body: { properties: { rules } } })
