import { ready } from './ready.ts'

export type PageUnderTest = { name: string; path: string; en: string; ja: string }

const machine = ready.machines[0]

/** Every page, by the heading that says it has arrived. */
export const pages: PageUnderTest[] = [
  { name: 'overview', path: '/', en: 'Overview', ja: '概要' },
  { name: 'machines', path: '/machines', en: 'Machines', ja: 'マシン' },
  { name: 'enrolment', path: '/enrolment', en: 'Enrolment tokens', ja: '登録トークン' },
  { name: 'nsg', path: '/nsg', en: 'Network security groups', ja: 'ネットワーク セキュリティ グループ' },
  { name: 'service-tags', path: '/nsg?tab=tags', en: 'Service tags', ja: 'サービス タグ' },
  { name: 'network-managers', path: '/nsg?tab=managers', en: 'Network managers', ja: 'ネットワーク マネージャー' },
  { name: 'flow-map', path: '/flow-map', en: 'Flow map', ja: '通信マップ' },
  { name: 'jit', path: '/jit', en: 'Just-in-time access', ja: 'Just-In-Time アクセス' },
  { name: 'bastion', path: '/bastion', en: 'Bastion hosts', ja: 'Bastion ホスト' },
  { name: 'rbac', path: '/rbac', en: 'Access control (IAM)', ja: 'アクセス制御 (IAM)' },
  { name: 'eligible', path: '/rbac?tab=eligible', en: 'Access control (IAM)', ja: 'アクセス制御 (IAM)' },
  { name: 'roles', path: '/rbac?tab=roles', en: 'Access control (IAM)', ja: 'アクセス制御 (IAM)' },
  { name: 'check', path: '/rbac?tab=check', en: 'Access control (IAM)', ja: 'アクセス制御 (IAM)' },
  { name: 'people', path: '/people', en: 'People and groups', ja: 'ユーザーとグループ' },
  { name: 'groups', path: '/people?tab=groups', en: 'People and groups', ja: 'ユーザーとグループ' },
  { name: 'service-principals', path: '/service-principals', en: 'Service principals', ja: 'サービス プリンシパル' },
  { name: 'conditional-access', path: '/conditional-access', en: 'Conditional access', ja: '条件付きアクセス' },
  { name: 'locations', path: '/conditional-access?tab=locations', en: 'Conditional access', ja: '条件付きアクセス' },
  { name: 'what-if', path: '/conditional-access?tab=whatIf', en: 'Conditional access', ja: '条件付きアクセス' },
  { name: 'sign-ins', path: '/conditional-access?tab=signIns', en: 'Conditional access', ja: '条件付きアクセス' },
  { name: 'audit', path: '/audit', en: 'Activity log', ja: 'アクティビティ ログ' },
  { name: 'my-roles', path: '/my-roles', en: 'My roles', ja: '自分のロール' },
  { name: 'sessions', path: '/sign-ins', en: 'My sign-ins', ja: '自分のサインイン' },
  { name: 'everyone', path: '/everyone', en: 'Sign-ins of everyone', ja: '全員のサインイン' },
  ...(machine
    ? ['', '/connect', '/network', '/traffic', '/facts', '/timeline', '/activity', '/json'].map((tab) => ({
        name: `machine${tab.replace('/', '-')}`,
        path: `/r${machine.id}${tab}`,
        en: machine.name,
        ja: machine.name,
      }))
    : []),
]
