import { num, plural } from '../../app/format.ts'
import { messages } from '../../app/i18n.ts'

export const l = messages({
  title: { en: 'Lend a login', ja: 'ログインの貸与' },
  why: {
    en: 'A link lets somebody who can sign in here log in to this machine as you choose, without a right of their own, for as long as you may yourself.',
    ja: 'リンクを渡した相手は、このポータルにサインインすれば、自分の権限がなくても指定したアカウントでこのマシンにログインできます。有効なのは、あなた自身がログインできる間だけです。',
  },
  make: { en: 'Make a link', ja: 'リンクを作成' },
  review: { en: 'Review', ja: '確認' },
  cancel: { en: 'Cancel', ja: 'キャンセル' },
  close: { en: 'Close', ja: '閉じる' },
  shows: { en: 'It opens', ja: '開くもの' },
  ssh: { en: 'A terminal', ja: 'ターミナル' },
  rdp: { en: 'The desktop (RDP)', ja: 'デスクトップ (RDP)' },
  vnc: { en: 'The desktop (VNC)', ja: 'デスクトップ (VNC)' },
  passwordWhy: {
    en: 'Whoever uses it types the password, unless one is kept for this machine and account.',
    ja: 'このマシンとアカウントのパスワードが保管されていない場合、リンクを使う人がパスワードを入力します。',
  },
  account: { en: 'Account on the machine', ja: 'マシン上のアカウント' },
  lasts: { en: 'Good for', ja: '有効期間' },
  hour1: { en: '1 hour', ja: '1 時間' },
  hours8: { en: '8 hours', ja: '8 時間' },
  day1: { en: '1 day', ja: '1 日' },
  days7: { en: '7 days', ja: '7 日' },
  once: { en: 'For one session only', ja: '1 回のセッションのみ' },
  fresh: {
    en: 'Whoever uses it proves two factors again first',
    ja: '使用前に、あらためて二要素での認証を求める',
  },
  from: { en: 'From these addresses only', ja: '接続元のアドレスを限定' },
  fromHint: {
    en: 'One address or CIDR a line; empty: from anywhere',
    ja: '1 行に 1 つのアドレスまたは CIDR。空欄の場合は制限なし',
  },
  made: { en: 'The link was made.', ja: 'リンクを作成しました。' },
  madeWhy: {
    en: 'It is shown only now. Give it to nobody but whom it is for, and take it back on the page of the bastion host.',
    ja: 'リンクが表示されるのは今だけです。渡す相手を間違えないようにしてください。取り消しは Bastion ホストのページで行えます。',
  },
  link: { en: 'Link', ja: 'リンク' },
  copy: { en: 'Copy', ja: 'コピー' },
  confirm: { en: 'Make the link', ja: '作成' },
  links: { en: 'Links', ja: 'リンク' },
  none: { en: 'There is no link through this host.', ja: 'このホストを経由するリンクはありません。' },
  noneWhy: {
    en: 'They are made on the page of a machine, under Connect.',
    ja: 'マシンのページの［接続］で作成できます。',
  },
  machine: { en: 'Machine', ja: 'マシン' },
  by: { en: 'Made by', ja: '作成者' },
  until: { en: 'Good until', ja: '有効期限' },
  uses: { en: 'Used', ja: '使用回数' },
  used: {
    en: (n: number, most: number | undefined) => (most === undefined ? num(n) : `${num(n)} of ${num(most)}`),
    ja: (n: number, most: number | undefined) => (most === undefined ? `${num(n)} 回` : `${num(n)} / ${num(most)} 回`),
  },
  places: { en: 'From', ja: '接続元' },
  anywhere: { en: 'Anywhere', ja: '制限なし' },
  networks: { en: (n: number) => plural(n, 'network', 'networks'), ja: (n: number) => `${num(n)} 件` },
  takeBack: { en: 'Take back', ja: '取り消し' },
  takeBackOf: {
    en: (name: string) => `Take back the link to ${name}`,
    ja: (name: string) => `${name} へのリンクの取り消し`,
  },
  takeBackWhy: {
    en: 'Nobody comes in with it any more, and sessions that began with it end.',
    ja: 'このリンクは使用できなくなり、このリンクで開始されたセッションは終了します。',
  },
})
