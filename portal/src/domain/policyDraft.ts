import type { Policy } from '../api/types.ts'

/** The applications that a policy can name, by Azure's ids where Azure has one. */
export const applications = {
  portal: 'c44b4083-3bb0-49c1-b47d-974e53cbdf3c',
  az: '04b07795-8ddb-461a-bbee-02f9e1bf7b46',
  api: '797f4846-ba00-4fd7-ba71-dba1f016de18',
  bastion: '79d7fb34-4bef-4417-8184-ff713af7a679',
} as const
const phishingResistant = '00000000-0000-0000-0000-000000000004'
const mfaStrength = '00000000-0000-0000-0000-000000000002'

export type State = 'enabled' | 'enabledForReportingButNotEnforced' | 'disabled'
export type Target = 'all' | keyof typeof applications
export type Who = 'all' | 'privileged' | 'chosen'
export type Where = 'anywhere' | 'untrusted' | 'outside' | 'inside'
export type Grant = 'mfa' | 'passkey' | 'block' | 'none'
/** From which level on; `as` is a choice of levels that is none of these. */
export type Risk = 'any' | 'low' | 'medium' | 'high' | 'as'
export type PrincipalKind = 'User' | 'Group'

/** A policy as the form edits it: the choices that people make, each one thing. */
export type PolicyDraft = {
  name: string
  state: State
  who: Who
  included: string[]
  excluded: string[]
  target: Target
  where: Where
  places: string[]
  client: 'all' | 'browser' | 'programs'
  deviceCodeOnly: boolean
  signInRisk: Risk
  userRisk: Risk
  grant: Grant
  /** Hours, `every` or nothing. */
  frequency: string
  idleMinutes: string
  bound: boolean
}

export const emptyDraft: PolicyDraft = {
  name: '',
  state: 'enabledForReportingButNotEnforced',
  who: 'all',
  included: [],
  excluded: [],
  target: 'all',
  where: 'anywhere',
  places: [],
  client: 'all',
  deviceCodeOnly: false,
  signInRisk: 'any',
  userRisk: 'any',
  grant: 'mfa',
  frequency: '',
  idleMinutes: '',
  bound: false,
}

const has = (list: readonly string[] | undefined, word: string) => list?.includes(word) ?? false

function grantOf(policy: Policy): Grant {
  const grant = policy.grantControls
  if (has(grant?.builtInControls, 'block')) return 'block'
  const strength = grant?.authenticationStrength?.id
  if (strength && strength !== mfaStrength) return 'passkey'
  return strength || has(grant?.builtInControls, 'mfa') ? 'mfa' : 'none'
}

function whereOf(policy: Policy): Pick<PolicyDraft, 'where' | 'places'> {
  const included = policy.conditions?.locations?.includeLocations ?? []
  const excluded = policy.conditions?.locations?.excludeLocations ?? []
  if (has(excluded, 'AllTrusted')) return { where: 'untrusted', places: [] }
  if (excluded.length > 0) return { where: 'outside', places: excluded }
  if (included.length > 0 && !has(included, 'All')) return { where: 'inside', places: included }
  return { where: 'anywhere', places: [] }
}

const levels = ['low', 'medium', 'high'] as const

function riskOf(words: readonly string[] = []): Risk {
  if (words.length === 0) return 'any'
  const from = levels.findIndex((level) => words.includes(level))
  const whole = from >= 0 && words.length === levels.length - from && levels.slice(from).every((l) => words.includes(l))
  return whole ? (levels[from] ?? 'as') : 'as'
}

function riskLevels(risk: Risk, old: string[] = []): string[] {
  if (risk === 'as') return old
  return risk === 'any' ? [] : levels.slice(levels.indexOf(risk))
}

/** What the form shows of a policy. */
export function draftOf(policy: Policy): PolicyDraft {
  const { users, applications: apps, clientAppTypes = [], authenticationFlows: flows } = policy.conditions ?? {}
  const who: Who = has(users?.includeUsers, 'All')
    ? 'all'
    : has(users?.includeRoles, 'Privileged')
      ? 'privileged'
      : 'chosen'
  const target = Object.entries(applications).find(([, id]) => has(apps?.includeApplications, id))?.[0]
  const frequency = policy.sessionControls?.signInFrequency
  const hours = (frequency?.value ?? 0) * (frequency?.type === 'days' ? 24 : 1)
  return {
    name: policy.displayName ?? '',
    state: (policy.state as State | undefined) ?? 'disabled',
    who,
    included: [...(users?.includeUsers ?? []), ...(users?.includeGroups ?? [])].filter(
      (id) => id !== 'All' && id !== 'None',
    ),
    excluded: [...(users?.excludeUsers ?? []), ...(users?.excludeGroups ?? [])],
    target: (target as Target | undefined) ?? 'all',
    ...whereOf(policy),
    client: has(clientAppTypes, 'browser')
      ? 'browser'
      : has(clientAppTypes, 'mobileAppsAndDesktopClients')
        ? 'programs'
        : 'all',
    deviceCodeOnly: flows?.transferMethods?.includes('deviceCodeFlow') ?? false,
    signInRisk: riskOf(policy.conditions?.signInRiskLevels),
    userRisk: riskOf(policy.conditions?.userRiskLevels),
    grant: grantOf(policy),
    frequency: !frequency?.isEnabled ? '' : frequency.frequencyInterval === 'everyTime' ? 'every' : String(hours),
    idleMinutes: String(policy.sessionControls?.sekisho?.idleMinutes ?? ''),
    bound: policy.sessionControls?.sekisho?.boundToAddress ?? false,
  }
}

const places = ({ where, places: ids }: PolicyDraft) =>
  ({
    anywhere: null,
    untrusted: { includeLocations: ['All'], excludeLocations: ['AllTrusted'] },
    outside: { includeLocations: ['All'], excludeLocations: ids },
    inside: { includeLocations: ids, excludeLocations: [] },
  })[where]

function session(draft: PolicyDraft): Policy['sessionControls'] {
  const hours = Number(draft.frequency)
  const days = hours > 23
  const often =
    draft.frequency === ''
      ? null
      : draft.frequency === 'every'
        ? { isEnabled: true, frequencyInterval: 'everyTime' }
        : {
            isEnabled: true,
            frequencyInterval: 'timeBased',
            value: days ? Math.round(hours / 24) : hours,
            type: days ? 'days' : 'hours',
          }
  if (!often && draft.idleMinutes === '' && !draft.bound) return null
  return {
    signInFrequency: often,
    sekisho: {
      idleMinutes: draft.idleMinutes === '' ? null : Number(draft.idleMinutes),
      boundToAddress: draft.bound,
    },
  }
}

/**
 * The policy that a draft stands for. What the form does not know of `base` (platforms, further roles) stays as it
 * is: an edited policy never loses a condition that somebody else gave it.
 */
export function policyOf(draft: PolicyDraft, kindOf: (id: string) => PrincipalKind, base: Policy = {}): Policy {
  const split = (ids: string[], kind: PrincipalKind) => ids.filter((id) => kindOf(id) === kind)
  const old = base.conditions ?? {}
  const chosen = draft.who === 'chosen' ? draft.included : []
  const roles = (old.users?.includeRoles ?? []).filter((role) => role !== 'Privileged')
  return {
    ...(base.id ? { id: base.id } : {}),
    displayName: draft.name.trim(),
    state: draft.state,
    conditions: {
      ...old,
      users: {
        ...old.users,
        includeUsers: draft.who === 'all' ? ['All'] : split(chosen, 'User'),
        includeGroups: split(chosen, 'Group'),
        includeRoles: draft.who === 'privileged' ? ['Privileged', ...roles] : draft.who === 'chosen' ? roles : [],
        excludeUsers: split(draft.excluded, 'User'),
        excludeGroups: split(draft.excluded, 'Group'),
      },
      applications: {
        ...old.applications,
        includeApplications: [draft.target === 'all' ? 'All' : applications[draft.target]],
      },
      locations: places(draft),
      clientAppTypes: [{ all: 'all', browser: 'browser', programs: 'mobileAppsAndDesktopClients' }[draft.client]],
      signInRiskLevels: riskLevels(draft.signInRisk, old.signInRiskLevels),
      userRiskLevels: riskLevels(draft.userRisk, old.userRiskLevels),
      authenticationFlows: draft.deviceCodeOnly ? { transferMethods: 'deviceCodeFlow' } : null,
    },
    grantControls: {
      mfa: { operator: 'OR', builtInControls: ['mfa'], authenticationStrength: null },
      passkey: {
        operator: 'OR',
        builtInControls: [],
        authenticationStrength: { id: base.grantControls?.authenticationStrength?.id ?? phishingResistant },
      },
      block: { operator: 'OR', builtInControls: ['block'], authenticationStrength: null },
      none: null,
    }[draft.grant],
    sessionControls: session(draft),
  }
}

/** Whether it says enough to be tried. */
export const isWhole = (draft: PolicyDraft) =>
  draft.name.trim() !== '' &&
  (draft.who !== 'chosen' || draft.included.length > 0) &&
  (!['outside', 'inside'].includes(draft.where) || draft.places.length > 0) &&
  (draft.grant !== 'none' || session(draft) !== null)
