import { getLocale, messages } from '../app/i18n.ts'

const nouns = messages({
  'microsoft.network/networksecuritygroups': { en: 'network security group', ja: 'ネットワーク セキュリティ グループ' },
  'microsoft.network/networksecuritygroups/securityrules': { en: 'security rule', ja: 'セキュリティ規則' },
  'microsoft.network/networkinterfaces': { en: 'network interface', ja: 'ネットワーク インターフェイス' },
  'microsoft.network/virtualnetworks': { en: 'virtual network', ja: '仮想ネットワーク' },
  'microsoft.network/virtualnetworks/subnets': { en: 'subnet', ja: 'サブネット' },
  'microsoft.network/applicationsecuritygroups': {
    en: 'application security group',
    ja: 'アプリケーション セキュリティ グループ',
  },
  'microsoft.compute/virtualmachines': { en: 'machine', ja: 'マシン' },
  'microsoft.authorization/roleassignments': { en: 'role assignment', ja: 'ロールの割り当て' },
  'microsoft.authorization/roledefinitions': { en: 'role definition', ja: 'ロールの定義' },
  'microsoft.resources/subscriptions/resourcegroups': { en: 'resource group', ja: 'リソース グループ' },
  'microsoft.resources/resourcegroups': { en: 'resource group', ja: 'リソース グループ' },
  'sekisho.identity/people/sessions': { en: 'session', ja: 'セッション' },
  'sekisho.identity/people/credentials': { en: 'credential', ja: '資格情報' },
  'sekisho.identity/grants': { en: 'access of a program', ja: 'プログラムのアクセス' },
  'sekisho.identity/people/accesspass': { en: 'temporary access pass', ja: '一時アクセス パス' },
  'sekisho.identity/people': { en: 'person', ja: 'ユーザー' },
  'sekisho.identity/serviceprincipals': { en: 'service principal', ja: 'サービス プリンシパル' },
  'microsoft.authorization/principals': { en: 'directory object', ja: 'ディレクトリ オブジェクト' },
  'microsoft.authorization/denyassignments': { en: 'deny assignment', ja: '拒否割り当て' },
  'microsoft.resources/tags': { en: 'tags', ja: 'タグ' },
  'sekisho.identity/groups': { en: 'group', ja: 'グループ' },
  'sekisho.identity/groups/members': { en: 'group member', ja: 'グループ メンバー' },
  'sekisho.identity/applications': { en: 'service principal', ja: 'サービス プリンシパル' },
  'sekisho.identity/applications/secrets': { en: 'client secret', ja: 'クライアント シークレット' },
  'sekisho.fleet/enrolmenttokens': { en: 'enrolment token', ja: '登録トークン' },
  'sekisho.fleet/machines': { en: 'machine', ja: 'マシン' },
})

/** Operations that are no write or delete of a noun. */
const whole = messages({
  'sekisho.identity/people/signin/action': { en: 'Sign in', ja: 'サインイン' },
  'sekisho.identity/serviceprincipals/signin/action': { en: 'Sign in (program)', ja: 'サインイン (プログラム)' },
  'sekisho.identity/grants/reuse': {
    en: 'A sign-in was used twice: access of a program ended',
    ja: 'サインイン情報が 2 回使用されたため、プログラムのアクセスを終了',
  },
  'sekisho.identity/devicecodes/answer/action': { en: 'Answer a device code', ja: 'デバイス コードへの応答' },
  'sekisho.identity/keys/rotate/action': { en: 'Replace a key', ja: 'キーの交換' },
  'sekisho.identity/people/signout/action': { en: 'Sign out', ja: 'サインアウト' },
  'sekisho.identity/people/stepup/action': { en: 'Confirm an operation', ja: '操作の確認' },
  'sekisho.identity/people/recover/action': { en: 'Make a recovery link', ja: '回復用リンクの作成' },
  'sekisho.identity/people/accesspass/action': {
    en: 'Use a temporary access pass',
    ja: '一時アクセス パスの使用',
  },
  'sekisho.identity/people/firstrun/action': { en: 'First run', ja: '初回セットアップ' },
  'sekisho.identity/people/enrol/action': { en: 'Set up a sign-in', ja: 'サインイン方法の設定' },
  'sekisho.identity/people/setuplink/action': { en: 'Make a sign-in link', ja: 'サインイン用リンクの作成' },
  'sekisho.fleet/machines/join/action': { en: 'Join a machine', ja: 'マシンの参加' },
  'sekisho.fleet/machines/desired/write': { en: 'Decide the rules of a machine', ja: 'マシンの規則の決定' },
  'sekisho.audit/logs/restore/action': { en: 'Restore a backup', ja: 'バックアップの復元' },
  'microsoft.network/networkinterfaces/effectivenetworksecuritygroups/action': {
    en: 'Read effective security rules',
    ja: '有効なセキュリティ規則の表示',
  },
})

const verbs = messages({
  write: { en: (noun: string) => `Create or update ${noun}`, ja: (noun: string) => `${noun}の作成または更新` },
  delete: { en: (noun: string) => `Delete ${noun}`, ja: (noun: string) => `${noun}の削除` },
})

const isWhole = (operation: string): operation is keyof typeof whole => operation in whole
const isNoun = (type: string): type is keyof typeof nouns => type in nouns
const isVerb = (verb: string): verb is keyof typeof verbs => verb in verbs

/** What happened, in words; an operation without words keeps its ARM name, which is also what a role grants. */
export function operationText(operation: string) {
  const known = operation.toLowerCase()
  if (isWhole(known)) return whole[known]
  const at = operation.lastIndexOf('/')
  const [type, verb] = [operation.slice(0, at).toLowerCase(), operation.slice(at + 1).toLowerCase()]
  if (!isNoun(type) || !isVerb(verb)) return operation
  const text = verbs[verb](nouns[type])
  return getLocale() === 'ja' ? text.replace(/([A-Za-z])の/g, '$1 の') : text
}
