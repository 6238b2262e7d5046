import type { Access, MachineStatus, NetworkState } from '../api/types.ts'
import { messages } from '../app/i18n.ts'
import type { Tone } from '../ui/tone.ts'

export const statusText = messages({
  online: { en: 'Online', ja: 'オンライン' },
  stale: { en: 'Silent', ja: '応答なし' },
  offline: { en: 'Offline', ja: 'オフライン' },
  duplicate: { en: 'Duplicate', ja: '重複' },
})

export const statusTone: Record<MachineStatus, Tone> = {
  online: 'ok',
  stale: 'med',
  offline: 'crit',
  duplicate: 'crit',
}

export const networkText = messages({
  applied: { en: 'Applied', ja: '適用済み' },
  pending: { en: 'Pending', ja: '適用待ち' },
  failed: { en: 'Failed', ja: '失敗' },
  reverted: { en: 'Rolled back', ja: 'ロールバック済み' },
  none: { en: 'Not managed', ja: '未管理' },
})

export const networkTone: Record<NetworkState, Tone> = {
  applied: 'ok',
  pending: 'info',
  failed: 'crit',
  reverted: 'high',
  none: 'low',
}

export const accessText = messages({
  Allow: { en: 'Allow', ja: '許可' },
  AlwaysAllow: { en: 'Always allow', ja: '常に許可' },
  Deny: { en: 'Deny', ja: '拒否' },
})

export const accessTone: Record<Access | 'AlwaysAllow', Tone> = { Allow: 'ok', AlwaysAllow: 'ok', Deny: 'crit' }
