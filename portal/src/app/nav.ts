import {
  DoorOpen,
  Gauge,
  Laptop,
  LogOut,
  type LucideIcon,
  MonitorCog,
  ScrollText,
  Server,
  Shield,
  ShieldCheck,
  SquareTerminal,
  Ticket,
  UserCog,
  UserRoundCheck,
  Users,
  Waypoints,
  Workflow,
} from 'lucide-react'
import { messages } from './i18n.ts'

export const navText = messages({
  overview: { en: 'Overview', ja: '概要' },
  fleet: { en: 'Fleet', ja: 'フリート' },
  machines: { en: 'Machines', ja: 'マシン' },
  enrolment: { en: 'Enrolment tokens', ja: '登録トークン' },
  network: { en: 'Network', ja: 'ネットワーク' },
  nsg: { en: 'Security groups', ja: 'セキュリティ グループ' },
  flowMap: { en: 'Flow map', ja: '通信マップ' },
  jit: { en: 'Just-in-time access', ja: 'Just-In-Time アクセス' },
  access: { en: 'Access', ja: 'アクセス' },
  rbac: { en: 'Access control (IAM)', ja: 'アクセス制御 (IAM)' },
  people: { en: 'People and groups', ja: 'ユーザーとグループ' },
  servicePrincipals: { en: 'Service principals', ja: 'サービス プリンシパル' },
  conditionalAccess: { en: 'Conditional access', ja: '条件付きアクセス' },
  myRoles: { en: 'My roles', ja: '自分のロール' },
  everyone: { en: 'Sign-ins of everyone', ja: '全員のサインイン' },
  record: { en: 'Record', ja: '記録' },
  audit: { en: 'Activity log', ja: 'アクティビティ ログ' },
  signIns: { en: 'My sign-ins', ja: '自分のサインイン' },
  bastion: { en: 'Bastion hosts', ja: 'Bastion ホスト' },
  sessions: { en: 'Sessions', ja: 'セッション' },
})

export type NavPath =
  | '/'
  | '/machines'
  | '/enrolment'
  | '/nsg'
  | '/flow-map'
  | '/jit'
  | '/rbac'
  | '/people'
  | '/service-principals'
  | '/conditional-access'
  | '/everyone'
  | '/audit'
  | '/sessions'
  | '/sign-ins'
  | '/bastion'
  | '/my-roles'
export type NavItem = {
  to: NavPath
  text: keyof typeof navText
  icon: LucideIcon
  /** After `g`. */
  key: string
  /** Kana, romaji and the words people know from elsewhere: what the palette also answers to. */
  aliases: string
}

export const navGroups: { text?: keyof typeof navText; items: NavItem[] }[] = [
  {
    items: [
      { to: '/', key: 'o', text: 'overview', icon: Gauge, aliases: 'overview home がいよう gaiyou gaiyo ホーム' },
    ],
  },
  {
    text: 'fleet',
    items: [
      {
        to: '/machines',
        key: 'm',
        text: 'machines',
        icon: Server,
        aliases: 'machines vm server ましん mashin かそうましん サーバー',
      },
      {
        to: '/enrolment',
        key: 't',
        text: 'enrolment',
        icon: Ticket,
        aliases: 'enrolment enrollment token join とうろく touroku トークン',
      },
    ],
  },
  {
    text: 'network',
    items: [
      {
        to: '/nsg',
        key: 'n',
        text: 'nsg',
        icon: Shield,
        aliases: 'nsg network security group firewall せきゅりてぃ sekyuriti 規則 きそく kisoku',
      },
      {
        to: '/flow-map',
        key: 'f',
        text: 'flowMap',
        icon: Workflow,
        aliases: 'flow map traffic connections つうしん tsuushin tsushin まっぷ mappu 通信 マップ',
      },
      {
        to: '/jit',
        key: 'j',
        text: 'jit',
        icon: DoorOpen,
        aliases: 'jit just in time access port ssh rdp じっと jitto ぽーと pooto 一時 いちじ ichiji アクセス要求',
      },
      {
        to: '/bastion',
        key: 'b',
        text: 'bastion',
        icon: Waypoints,
        aliases: 'bastion host ばすちおん basuchion 踏み台 ふみだい fumidai',
      },
      {
        to: '/sessions',
        key: 'h',
        text: 'sessions',
        icon: SquareTerminal,
        aliases: 'sessions shell ssh terminal recording replay せっしょん sesshon ろくが rokuga 録画 記録 端末',
      },
    ],
  },
  {
    text: 'access',
    items: [
      {
        to: '/rbac',
        key: 'r',
        text: 'rbac',
        icon: UserCog,
        aliases: 'rbac iam role permission ろーる rooru わりあて wariate けんげん kengen 権限',
      },
      {
        to: '/people',
        key: 'p',
        text: 'people',
        icon: Users,
        aliases: 'people users groups ゆーざー yuuza yuza ぐるーぷ guruupu',
      },
      {
        to: '/service-principals',
        key: 's',
        text: 'servicePrincipals',
        icon: MonitorCog,
        aliases: 'service principal app spn さーびす saabisu アプリ secret',
      },
      {
        to: '/conditional-access',
        key: 'c',
        text: 'conditionalAccess',
        icon: ShieldCheck,
        aliases: 'conditional access policy mfa じょうけんつき joukentsuki ぽりしー porishii 多要素',
      },
      {
        to: '/my-roles',
        key: 'l',
        text: 'myRoles',
        icon: UserRoundCheck,
        aliases: 'my roles pim activate approve eligible ろーる rooru ゆうこうか yuukouka 有効化 承認',
      },
      {
        to: '/everyone',
        key: 'e',
        text: 'everyone',
        icon: LogOut,
        aliases: 'sessions of everyone sign out revoke せっしょん sesshon ぜんいん zenin さいんあうと セッション',
      },
    ],
  },
  {
    text: 'record',
    items: [
      {
        to: '/audit',
        key: 'a',
        text: 'audit',
        icon: ScrollText,
        aliases: 'audit activity log かんさ kansa 監査 ろぐ rogu',
      },
      {
        to: '/sign-ins',
        key: 'i',
        text: 'signIns',
        icon: Laptop,
        aliases: 'sign in session passkey credential さいんいん sainin ぱすきー pasukii パスキー',
      },
    ],
  },
]

export const navItems = navGroups.flatMap((group) => group.items)
