import { messages } from '../../app/i18n.ts'

export const m = messages({
  title: { en: 'Service principals', ja: 'サービス プリンシパル' },
  subtitle: {
    en: 'Identities for Terraform, az and pipelines.',
    ja: 'Terraform・az・パイプラインなどのプログラム用 ID。',
  },
  create: { en: 'Create a service principal', ja: 'サービス プリンシパルを作成' },
  empty: { en: 'No service principal yet.', ja: 'サービス プリンシパルはまだありません。' },
  name: { en: 'Display name', ja: '表示名' },
  appId: { en: 'Application (client) id', ja: 'アプリケーション (クライアント) ID' },
  objectId: { en: 'Object id', ja: 'オブジェクト ID' },
  tenantId: { en: 'Directory (tenant) id', ja: 'ディレクトリ (テナント) ID' },
  secrets: { en: 'Client secrets', ja: 'クライアント シークレット' },
  secretName: { en: 'Name of the secret', ja: 'シークレットの名前' },
  validFor: { en: 'Valid for', ja: '有効期間' },
  d30: { en: '30 days', ja: '30 日' },
  d90: { en: '90 days', ja: '90 日' },
  d180: { en: '180 days', ja: '180 日' },
  expires: { en: 'Expires', ja: '有効期限' },
  expiresAt: { en: (when: string) => `expires ${when}`, ja: (when: string) => `有効期限: ${when}` },
  expired: { en: 'expired', ja: '期限切れ' },
  noSecrets: { en: 'No secret: it cannot sign in.', ja: 'シークレットがないため、サインインできません。' },
  addSecret: { en: 'Add a client secret', ja: 'クライアント シークレットを追加' },
  removeSecret: { en: (name: string) => `Remove secret ${name}`, ja: (name: string) => `シークレット ${name} を削除` },
  secret: { en: 'Client secret', ja: 'クライアント シークレット' },
  secretOnce: {
    en: 'This value is shown only now. Store it in a secret store.',
    ja: 'この値が表示されるのは今だけです。シークレット ストアに保管してください。',
  },
  copy: { en: 'Copy', ja: 'コピー' },
  done: { en: 'Done', ja: '完了' },
  review: { en: 'Review the effect', ja: '影響を確認' },
  made: { en: (name: string) => `${name} was created.`, ja: (name: string) => `${name} を作成しました。` },
  thenPrincipal: {
    en: (name: string) => `The service principal ${name} is made. It can do nothing until it is given a role.`,
    ja: (name: string) =>
      `サービス プリンシパル ${name} を作成します。ロールを割り当てるまで、どの操作も許可されません。`,
  },
  thenSecret: {
    en: (name: string, days: string) =>
      `Its client secret ${name} is made; it works for ${days} days and is shown once.`,
    ja: (name: string, days: string) =>
      `クライアント シークレット ${name} を作成します（有効期間 ${days} 日、表示は 1 回のみ）。`,
  },
  secretAdded: { en: 'The client secret was added.', ja: 'クライアント シークレットを追加しました。' },
  secretRemoved: { en: 'The client secret was removed.', ja: 'クライアント シークレットを削除しました。' },
  secretEnds: {
    en: 'Whatever signed in with it stops at once, and with every other secret of this principal has to sign in anew.',
    ja: 'このシークレットを使用するプログラムは直ちに停止します。ほかのシークレットを使用するプログラムも再サインインが必要です。',
  },
  cancel: { en: 'Cancel', ja: 'キャンセル' },
  remove: { en: 'Delete', ja: '削除' },
  removeTitle: { en: (name: string) => `Delete ${name}?`, ja: (name: string) => `${name} を削除しますか?` },
  removeWhy: {
    en: 'Programs that use it stop at once. Its role assignments go too.',
    ja: 'これを使用するプログラムは直ちに停止します。ロールの割り当ても削除されます。',
  },
  removed: { en: (name: string) => `${name} was deleted.`, ja: (name: string) => `${name} を削除しました。` },
  created: { en: 'Created', ja: '作成日' },
})
