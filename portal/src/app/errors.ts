import { ApiError } from '../api/errors.ts'
import { messages } from './i18n.ts'

/** Sentences for codes that people meet; any other code shows the server's own message. */
const byCode = messages({
  AuthenticationFailed: {
    en: 'Your session has ended. Sign in again.',
    ja: 'セッションが終了しました。もう一度サインインしてください。',
  },
  AuthorizationFailed: { en: 'You do not have permission for this.', ja: 'この操作を行うアクセス許可がありません。' },
  InvalidCredentials: {
    en: 'User name, password or code is wrong.',
    ja: 'ユーザー名、パスワード、またはコードが正しくありません。',
  },
  TooManyAttempts: {
    en: 'Too many attempts. Wait a moment.',
    ja: '試行回数が多すぎます。しばらく待ってからやり直してください。',
  },
  InvalidLink: {
    en: 'This link has expired or was already used. Ask for a new one.',
    ja: 'このリンクは期限切れか、使用済みです。新しいリンクを依頼してください。',
  },
  InvalidCode: {
    en: 'The code is not right. Wait for the next one, and check the clock of your device.',
    ja: 'コードが正しくありません。次のコードを待ち、端末の時計も確認してください。',
  },
  DeviceCodeNotFound: {
    en: 'Nobody waits for this code. It may have expired: start the sign-in again.',
    ja: 'このコードを待っているものはありません。期限切れの可能性があります。サインインをやり直してください。',
  },
  InvalidAuthorizationRequest: {
    en: 'This sign-in cannot go on. Start it again from the program.',
    ja: 'このサインインは続行できません。プログラムからやり直してください。',
  },
  WeakPassword: { en: 'This password is too weak.', ja: 'このパスワードは弱すぎます。' },
  LinkNotGood: {
    en: 'This link is not good, or not any more. Ask whoever gave it to you for another.',
    ja: 'このリンクは無効か、期限切れです。発行した人に新しいリンクを依頼してください。',
  },
  LinkAddressDenied: {
    en: 'This link may not be used from your address.',
    ja: 'このリンクは、お使いのアドレスからは使用できません。',
  },
  FreshSignInRequired: {
    en: 'Sign in again first: this needs a sign-in younger than 10 minutes.',
    ja: '先にもう一度サインインしてください。この操作には 10 分以内のサインインが必要です。',
  },
  PasskeySuspended: {
    en: 'This passkey is suspended, because a copy of it seems to exist.',
    ja: 'このパスキーは複製された可能性があるため、停止されています。',
  },
  NotConfirmed: {
    en: 'This was not confirmed, so nothing has changed.',
    ja: '確認されなかったため、何も変更していません。',
  },
  StrongerProofRequired: {
    en: 'A policy asks for more than a password and a code. Add a passkey first.',
    ja: 'ポリシーにより、パスワードとコードでは不十分です。先にパスキーを追加してください。',
  },
  LastCredential: {
    en: 'This is your last way to sign in, so it stays.',
    ja: '最後のサインイン方法のため、削除できません。',
  },
  ResourceNotFound: {
    en: 'This resource does not exist (any more).',
    ja: 'このリソースは存在しないか、削除されました。',
  },
  ResourceGroupNotFound: { en: 'This resource group does not exist.', ja: 'このリソース グループは存在しません。' },
  PreconditionFailed: {
    en: 'Somebody changed this in the meantime. Reload and try again.',
    ja: 'ほかのユーザーが先に変更しました。再読み込みしてやり直してください。',
  },
  SecurityRuleConflict: {
    en: 'Another rule of this direction has the same priority.',
    ja: '同じ方向の別の規則が同じ優先度を使用しています。',
  },
  NetworkSecurityGroupInUse: {
    en: 'This security group is still attached.',
    ja: 'このセキュリティ グループはまだ関連付けられています。',
  },
  InUseNetworkSecurityGroupCannotBeDeleted: {
    en: 'This security group is still attached.',
    ja: 'このセキュリティ グループはまだ関連付けられています。',
  },
  RoleAssignmentExists: { en: 'This role assignment already exists.', ja: 'このロールの割り当ては既に存在します。' },
  DesktopCredentialsMissing: {
    en: 'No password is kept for this desktop: type it.',
    ja: 'このデスクトップのパスワードは保管されていません。入力してください。',
  },
  DesktopCredentialsRefused: {
    en: 'The desktop refused this account or password.',
    ja: 'デスクトップがアカウントまたはパスワードを拒否しました。',
  },
  DesktopUnreachable: {
    en: 'No desktop answers at this port of the machine.',
    ja: 'マシンのこのポートで応答するデスクトップがありません。',
  },
  DesktopCertificateChanged: {
    en: 'The RDP server has another certificate than before. If that is meant, forget the old one under Connect.',
    ja: 'RDP サーバーの証明書が以前と異なります。意図した変更であれば、［接続］で以前の証明書を削除してください。',
  },
  Unreachable: { en: 'The server cannot be reached.', ja: 'サーバーに接続できません。' },
})

const other = messages({
  unknown: { en: 'Something went wrong in the portal.', ja: 'ポータルで問題が発生しました。' },
  passkey: { en: 'The browser refused the passkey.', ja: 'ブラウザーがパスキーを拒否しました。' },
})

const hasText = (code: string): code is keyof typeof byCode => Object.hasOwn(byCode, code)

export type ShownError = {
  title: string
  /** The server's sentence, when ours replaced it; it names the specifics. */
  detail?: string
  code: string
  requestId?: string
  missingAction?: string
  missingScope?: string
  activatableRole?: string
  retryAfterSec?: number
}

export function shownError(error: unknown): ShownError {
  if (error instanceof ApiError) {
    const { code, requestId, missingAction, missingScope, activatableRole, retryAfterSec } = error
    const details = error.details.map((detail) => detail.message)
    const text = hasText(code) ? byCode[code] : error.message
    const detail = [...(hasText(code) && error.status !== 0 ? [error.message] : []), ...details].join(' ')
    const shown = { title: text, detail: detail || undefined, code, requestId }
    return { ...shown, missingAction, missingScope, activatableRole, retryAfterSec }
  }
  if (error instanceof DOMException) return { title: other.passkey, detail: error.message, code: error.name }
  return { title: other.unknown, detail: error instanceof Error ? error.message : String(error), code: 'PortalError' }
}
