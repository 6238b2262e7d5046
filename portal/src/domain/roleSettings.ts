import type { PolicyRule } from '../api/queries/pim.ts'
import { isoDuration, minutesOf } from './isoDuration.ts'

/** What the settings of a role ask of an activation, as a form holds it. */
export type RoleSettings = {
  minutes: number
  bound: boolean
  multiFactor: boolean
  passkey: boolean
  justification: boolean
  ticket: boolean
  pattern: string
  approval: boolean
  approvers: string[]
  yeses: number
}

const expiration = 'Expiration_EndUser_Assignment'
const enablement = 'Enablement_EndUser_Assignment'
const context = 'AuthenticationContext_EndUser_Assignment'
const approval = 'Approval_EndUser_Assignment'

type Stage = { primaryApprovers?: { id: string }[] | null; approvalsRequired?: number }
type Setting = { isApprovalRequired?: boolean; approvalStages?: Stage[] | null }

export function settingsOf(rules: PolicyRule[]): RoleSettings {
  const find = (id: string) => rules.find((rule) => rule.id === id)
  const enabled = (find(enablement)?.enabledRules ?? []) as string[]
  const setting = (find(approval)?.setting ?? {}) as Setting
  const stage = setting.approvalStages?.[0]
  return {
    minutes: minutesOf(String(find(expiration)?.maximumDuration ?? 'PT8H')),
    bound: find(expiration)?.boundToSignIn !== false,
    multiFactor: enabled.includes('MultiFactorAuthentication'),
    passkey: find(context)?.isEnabled === true,
    justification: enabled.includes('Justification'),
    ticket: enabled.includes('Ticketing'),
    pattern: String(find(enablement)?.ticketPattern ?? ''),
    approval: setting.isApprovalRequired === true,
    approvers: (stage?.primaryApprovers ?? []).map((approver) => approver.id),
    yeses: stage?.approvalsRequired ?? 1,
  }
}

/** The rules that say so; the others of the role stay as they are. */
export function rulesOf(settings: RoleSettings, isGroup: (id: string) => boolean): PolicyRule[] {
  const enabled = [
    settings.multiFactor && 'MultiFactorAuthentication',
    settings.justification && 'Justification',
    settings.ticket && 'Ticketing',
  ].filter((rule) => rule !== false)
  return [
    {
      id: expiration,
      ruleType: 'RoleManagementPolicyExpirationRule',
      isExpirationRequired: true,
      maximumDuration: isoDuration(settings.minutes),
      boundToSignIn: settings.bound,
    },
    {
      id: enablement,
      ruleType: 'RoleManagementPolicyEnablementRule',
      enabledRules: enabled,
      ticketPattern: settings.pattern.trim() || null,
    },
    {
      id: context,
      ruleType: 'RoleManagementPolicyAuthenticationContextRule',
      isEnabled: settings.passkey,
      claimValue: settings.passkey ? 'phishingResistant' : '',
    },
    {
      id: approval,
      ruleType: 'RoleManagementPolicyApprovalRule',
      setting: {
        isApprovalRequired: settings.approval,
        isRequestorJustificationRequired: settings.justification,
        approvalMode: 'SingleStage',
        approvalStages: [
          {
            approvalStageTimeOutInDays: 1,
            isApproverJustificationRequired: true,
            approvalsRequired: settings.yeses,
            primaryApprovers: settings.approvers.map((id) => ({ id, userType: isGroup(id) ? 'Group' : 'User' })),
          },
        ],
      },
    },
  ]
}
