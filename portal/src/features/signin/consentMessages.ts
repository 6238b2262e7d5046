import { messages } from '../../app/i18n.ts'

export const m = messages({
  signIn: { en: 'Sign in to go on', ja: '続行するにはサインイン' },
  title: {
    en: (client: string) => `${client} asks to act as you`,
    ja: (client: string) => `${client} があなたとしての操作を求めています`,
  },
  unknown: { en: 'An unknown program', ja: '不明なプログラム' },
  saysOnly: {
    en: 'The program says this name of itself; nobody can check it.',
    ja: 'プログラム自身が名乗っている名前であり、真偽は確認できません。',
  },
  you: { en: 'You', ja: 'あなた' },
  client: { en: 'Program', ja: 'プログラム' },
  where: { en: 'Waits at', ja: '待機場所' },
  thisComputer: {
    en: (origin: string) => `this computer (${origin})`,
    ja: (origin: string) => `このコンピューター (${origin})`,
  },
  address: { en: 'Asks from', ja: '要求元' },
  sameAddress: { en: (ip: string) => `${ip}, your own address`, ja: (ip: string) => `${ip} (あなたと同じアドレス)` },
  otherAddress: {
    en: (ip: string) => `${ip}, not your address`,
    ja: (ip: string) => `${ip} (あなたとは異なるアドレス)`,
  },
  agent: { en: 'Says it is', ja: '自己申告' },
  started: { en: 'Started', ja: '開始' },
  reaches: { en: 'Reaches', ja: 'アクセス先' },
  stays: { en: 'Stays', ja: '期間' },
  offline: {
    en: 'until you end it under My sign-ins, 14 days without use, or 90 days',
    ja: '「自分のサインイン」で終了するまで、または 14 日間の未使用、最長 90 日まで',
  },
  hour: { en: 'one hour', ja: '1 時間' },
  rights: {
    en: 'It can do whatever you can do. Allow it only if you have just started a sign-in yourself.',
    ja: 'あなたに許可されているすべての操作が可能になります。ご自身がサインインを開始した場合にのみ許可してください。',
  },
  phishing: {
    en: 'Did somebody send you this code, by mail, chat or phone? Then decline: whoever sent it would be signed in as you. Nobody of your organization will ever ask you for this.',
    ja: 'このコードをメール、チャット、電話で受け取りましたか? その場合は拒否してください。許可すると、送信者があなたとしてサインインします。組織の担当者がこれを依頼することは決してありません。',
  },
  fresh: {
    en: 'This needs a fresh sign-in: prove once more that it is you.',
    ja: 'この操作には新しいサインインが必要です。もう一度本人確認を行ってください。',
  },
  allow: { en: 'Allow', ja: '許可' },
  decline: { en: 'Decline', ja: '拒否' },
  other: { en: 'Use another account', ja: '別のアカウントを使用' },
  going: { en: 'Going back to the program', ja: 'プログラムに戻ります' },
  goingWhy: {
    en: 'You can close this page when the program says so.',
    ja: 'プログラムの指示に従ってこのページを閉じてください。',
  },
  go: { en: 'Go back', ja: '戻る' },
  nothing: { en: 'No program asks for anything here', ja: '要求しているプログラムはありません' },
  nothingWhy: {
    en: 'This page is opened by a command such as az login.',
    ja: 'このページは az login などのコマンドによって開かれます。',
  },
  device: { en: 'Sign in a device or command line', ja: 'デバイスまたはコマンド ラインのサインイン' },
  deviceWhy: {
    en: 'Type the code that the command shows.',
    ja: 'コマンドに表示されたコードを入力してください。',
  },
  code: { en: 'Code', ja: 'コード' },
  codeHint: { en: 'Eight letters, such as BCDF-GHJK', ja: '8 文字 (例: BCDF-GHJK)' },
  next: { en: 'Next', ja: '次へ' },
  allowed: { en: 'Allowed', ja: '許可しました' },
  allowedWhy: {
    en: 'The command goes on by itself. You can close this page.',
    ja: 'コマンドは自動的に続行されます。このページは閉じてかまいません。',
  },
  declined: { en: 'Declined', ja: '拒否しました' },
  declinedWhy: {
    en: 'The command was told so. Nothing was given.',
    ja: 'コマンドに通知しました。何も許可されていません。',
  },
})
