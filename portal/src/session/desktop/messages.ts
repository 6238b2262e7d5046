import { messages } from '../../app/i18n.ts'

export const m = messages({
  nowhere: { en: 'No desktop is open here', ja: '開いているデスクトップはありません' },
  nowhereWhy: {
    en: 'Open one from the page of a machine, under Connect.',
    ja: 'マシンのページの［接続］から開いてください。',
  },
  picture: { en: (name: string) => `Screen of ${name}`, ja: (name: string) => `${name} の画面` },
  keys: {
    en: (name: string) => `Keys go to ${name}. Ctrl+F6 leaves the desktop.`,
    ja: (name: string) => `キー入力は ${name} に送られます。Ctrl+F6 でデスクトップから出ます。`,
  },
  leaveHint: { en: 'Leave: Ctrl+F6', ja: 'デスクトップから出る: Ctrl+F6' },
  leaveWhy: {
    en: 'The machine takes every other key, the Tab key, too.',
    ja: 'Tab キーを含む、その他のキーはすべてマシンに送られます。',
  },
  size: {
    en: (width: number, height: number) => `${width} × ${height} pixels`,
    ja: (width: number, height: number) => `${width} × ${height} ピクセル`,
  },
  scaling: { en: 'Size of the picture', ja: '画面の表示サイズ' },
  match: { en: 'As the window', ja: 'ウィンドウに合わせる' },
  fit: { en: 'Fit', ja: '全体を表示' },
  actual: { en: '1:1', ja: '等倍' },
  ctrlAltDel: { en: 'Send Ctrl+Alt+Del', ja: 'Ctrl+Alt+Del を送信' },
  fullScreen: {
    en: 'Full screen (Ctrl+F6 or Esc, held, leaves it)',
    ja: '全画面表示 (Ctrl+F6 または Esc の長押しで終了)',
  },
  sendClipboard: { en: 'Give the clipboard to the machine', ja: 'クリップボードの内容をマシンに送る' },
  clipboardDenied: {
    en: 'The browser does not show its clipboard to this page. Ctrl+V in the desktop pastes all the same.',
    ja: 'ブラウザーがクリップボードの読み取りを許可していません。デスクトップ内での Ctrl+V による貼り付けは利用できます。',
  },
  copied: { en: 'The machine copied text.', ja: 'マシンでテキストがコピーされました。' },
  takeCopied: { en: 'Put it into the clipboard', ja: 'クリップボードに入れる' },
  tooLong: {
    en: 'This is too much to paste at once: the limit is 256 KiB.',
    ja: '一度に貼り付けられるサイズ (256 KiB) を超えています。',
  },
  signIn: { en: (name: string) => `Log in to ${name}`, ja: (name: string) => `${name} にログイン` },
  by: {
    en: (protocol: string) => `Desktop over ${protocol}`,
    ja: (protocol: string) => `${protocol} によるデスクトップ接続`,
  },
  password: { en: 'Password', ja: 'パスワード' },
  passwordWhy: {
    en: 'It is used once, for this session, and kept nowhere.',
    ja: 'このセッションで一度だけ使用し、保存しません。',
  },
  vncWhy: {
    en: 'Leave it empty where the desktop asks for none, or the bastion keeps one. It is used once.',
    ja: 'パスワードのないデスクトップや、保管済みのものを使用する場合は空欄にします。一度だけ使用します。',
  },
  connect: { en: 'Connect', ja: '接続' },
})
