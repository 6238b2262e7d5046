import { messages } from '../../app/i18n.ts'

export const m = messages({
  title: { en: 'Sign-ins of everyone', ja: '全員のサインイン' },
  subtitle: {
    en: 'Where people are signed in right now, and which programs act as them.',
    ja: '現在サインイン中の場所と、ユーザーとして動作しているプログラム。',
  },
  find: { en: 'Filter', ja: '絞り込み' },
  none: { en: 'No one matches.', ja: '一致するものはありません。' },
  person: { en: 'Person', ja: 'ユーザー' },
  through: { en: 'Browser or program', ja: 'ブラウザーまたはプログラム' },
  unknownClient: { en: 'A program nobody knows', ja: '不明なプログラム' },
  more: {
    en: (name: string, what: string) => `Actions for ${name}, ${what}`,
    ja: (name: string, what: string) => `${name}（${what}）の操作`,
  },
  end: { en: 'Sign out here', ja: 'ここからサインアウト' },
  endAll: { en: 'Sign out everywhere', ja: 'すべてからサインアウト' },
  endTitle: {
    en: (name: string, what: string) => `Sign ${name} out of ${what}?`,
    ja: (name: string, what: string) => `${name} を ${what} からサインアウトさせますか?`,
  },
  endAllTitle: {
    en: (name: string) => `Sign ${name} out everywhere?`,
    ja: (name: string) => `${name} をすべてからサインアウトさせますか?`,
  },
  endWhy: {
    en: 'It is refused from the next request on, and open pages end at once.',
    ja: '次の要求から拒否され、開いているページも直ちに終了します。',
  },
  endAllWhy: {
    en: 'Every browser and every program of this person has to sign in again.',
    ja: 'このユーザーのすべてのブラウザーとプログラムで、もう一度サインインが必要になります。',
  },
  ended: { en: 'Signed out.', ja: 'サインアウトしました。' },
})
