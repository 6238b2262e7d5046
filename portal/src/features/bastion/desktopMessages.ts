import { messages } from '../../app/i18n.ts'

export const d = messages({
  kind: { en: 'What to open', ja: '接続方法' },
  terminal: { en: 'Terminal', ja: 'ターミナル' },
  rdp: { en: 'Desktop (RDP)', ja: 'デスクトップ (RDP)' },
  vnc: { en: 'Desktop (VNC)', ja: 'デスクトップ (VNC)' },
  why: {
    en: 'A desktop in a new tab, over the connection that the machine itself keeps open. The bastion speaks with the desktop: its password never comes to the browser again.',
    ja: 'マシン側から確立済みの接続を経由して、新しいタブでデスクトップを開きます。デスクトップとの通信は Bastion が行い、パスワードがブラウザーに送り返されることはありません。',
  },
  port: { en: 'Port', ja: 'ポート' },
  portBad: { en: 'A port is a number from 1 to 65535.', ja: '1 ～ 65535 の番号を入力してください。' },
  accountHint: { en: 'Empty: your own.', ja: '空欄の場合は自分のアカウント' },
  domain: { en: 'Domain', ja: 'ドメイン' },
  domainHint: { en: 'Only where accounts are of one.', ja: 'ドメインのアカウントの場合のみ' },
  domainBad: { en: 'That cannot be the name of a domain.', ja: 'ドメイン名として使用できません。' },
  password: { en: 'Password', ja: 'パスワード' },
  typed: { en: 'I type it there', ja: '接続時に入力' },
  kept: { en: 'Use the kept one', ja: '保管済みのものを使用' },
  keptBy: {
    en: (who: string, when: string) => `Kept by ${who}, ${when}.`,
    ja: (who: string, when: string) => `${who} が ${when}に保管しました。`,
  },
  notKept: {
    en: 'None is kept for this account; you are asked for it.',
    ja: 'このアカウントのパスワードは保管されていないため、接続時に入力します。',
  },
  open: { en: 'Open the desktop', ja: 'デスクトップを開く' },
  keptTitle: { en: 'Kept passwords', ja: '保管済みのパスワード' },
  keptWhy: {
    en: 'The bastion types them for whoever may log in with the account. Nobody can read one, only replace or remove it.',
    ja: 'そのアカウントでログインできるユーザーの代わりに、Bastion が入力します。読み出すことはできず、置き換えと削除のみ可能です。',
  },
  noneKept: { en: 'No password is kept for this machine.', ja: 'このマシンのパスワードは保管されていません。' },
  protocol: { en: 'Protocol', ja: 'プロトコル' },
  anybody: { en: 'no account', ja: 'アカウントなし' },
  since: { en: 'Since', ja: '保管日時' },
  by: { en: 'By', ja: '保管者' },
  keep: { en: 'Keep a password', ja: 'パスワードを保管' },
  keepOf: { en: (name: string) => `Keep a password for ${name}`, ja: (name: string) => `${name} のパスワードの保管` },
  keepWhy: {
    en: 'An earlier one for the same account is replaced.',
    ja: '同じアカウントのパスワードが保管されている場合は、置き換えます。',
  },
  keptNow: { en: 'The password is kept.', ja: 'パスワードを保管しました。' },
  forget: { en: 'Remove', ja: '削除' },
  forgetOf: {
    en: (name: string) => `Remove the password of ${name}`,
    ja: (name: string) => `${name} のパスワードの削除`,
  },
  forgetWhy: {
    en: 'Whoever logs in with this account has to know the password.',
    ja: 'このアカウントでログインするには、パスワードの入力が必要になります。',
  },
  forgotten: { en: 'The password was removed.', ja: 'パスワードを削除しました。' },
  pinnedTitle: { en: 'Certificates of RDP servers', ja: 'RDP サーバーの証明書' },
  pinnedWhy: {
    en: 'As they were when the server was first met. Another one is refused until this one is forgotten.',
    ja: '初回接続時の証明書です。証明書が変わった場合は、ここで削除するまで接続を拒否します。',
  },
  fingerprint: { en: 'Fingerprint (SHA-256)', ja: 'フィンガープリント (SHA-256)' },
  forgetCertificate: { en: 'Forget', ja: '削除' },
  forgetCertificateOf: {
    en: (port: number) => `Forget the certificate at port ${port}`,
    ja: (port: number) => `ポート ${port} の証明書の削除`,
  },
  forgetCertificateWhy: {
    en: 'Only if you know why it is another one: the next that is met is trusted.',
    ja: '証明書が変わった理由が明らかな場合にのみ削除してください。次回接続時の証明書が信頼されます。',
  },
  certificateForgotten: { en: 'The certificate is forgotten.', ja: '証明書を削除しました。' },
})
