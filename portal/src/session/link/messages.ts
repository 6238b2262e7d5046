import { num, plural } from '../../app/format.ts'
import { messages } from '../../app/i18n.ts'

export const m = messages({
  lent: { en: 'A login that is lent to you', ja: '貸与されたログイン' },
  lentBy: {
    en: (who: string) => `${who} lets you log in to this machine.`,
    ja: (who: string) => `${who} さんが、このマシンへのログインを許可しています。`,
  },
  machine: { en: 'Machine', ja: 'マシン' },
  account: { en: 'Account', ja: 'アカウント' },
  shows: { en: 'It opens', ja: '開くもの' },
  terminal: { en: 'A terminal', ja: 'ターミナル' },
  desktop: {
    en: (protocol: string) => `The desktop (${protocol})`,
    ja: (protocol: string) => `デスクトップ (${protocol})`,
  },
  until: { en: 'Good until', ja: '有効期限' },
  left: { en: 'Sessions left', ja: '残り回数' },
  times: { en: (n: number) => plural(n, 'session', 'sessions'), ja: (n: number) => `${num(n)} 回` },
  connect: { en: 'Log in', ja: 'ログイン' },
  again: { en: 'Sign in again first', ja: '先にもう一度サインイン' },
  againWhy: {
    en: 'This link is for whoever has just proved two factors.',
    ja: 'このリンクの使用には、直前の二要素での認証が必要です。',
  },
  none: { en: 'This is no link', ja: 'リンクではありません' },
  noneWhy: {
    en: 'A link has something behind a # in its address, which is missing here. Ask for it again.',
    ja: 'アドレスの # より後の部分がありません。リンクをもう一度受け取ってください。',
  },
})
