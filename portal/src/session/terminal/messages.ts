import { num, plural } from '../../app/format.ts'
import { messages } from '../../app/i18n.ts'

export const m = messages({
  terminals: { en: 'Terminals', ja: 'ターミナル' },
  terminal: { en: (name: string) => `Terminal of ${name}`, ja: (name: string) => `${name} のターミナル` },
  nowhereWhy: {
    en: 'Open one from the page of a machine, under Connect.',
    ja: 'マシンのページの［接続］から開いてください。',
  },
  another: { en: 'Another session like this one', ja: '同じ接続先のセッションをもう 1 つ開く' },
  closeTab: { en: (name: string) => `Close ${name}`, ja: (name: string) => `${name} を閉じる` },
  files: { en: 'Files', ja: 'ファイル' },
  find: { en: 'Find (Ctrl+Shift+F)', ja: '検索 (Ctrl+Shift+F)' },
  findText: { en: 'Find in the output', ja: '出力内を検索' },
  next: { en: 'Next', ja: '次へ' },
  previous: { en: 'Previous', ja: '前へ' },
  closeFind: { en: 'Close the search', ja: '検索を閉じる' },
  notFound: { en: 'Not found', ja: '見つかりません' },
  settings: { en: 'Settings of the terminal', ja: 'ターミナルの設定' },
  scheme: { en: 'Colours', ja: '配色' },
  portalScheme: { en: 'As the portal', ja: 'ポータルと同じ' },
  dark: { en: 'Dark', ja: 'ダーク' },
  light: { en: 'Light', ja: 'ライト' },
  contrast: { en: 'High contrast', ja: 'ハイ コントラスト' },
  fontSize: { en: 'Font size', ja: 'フォント サイズ' },
  px: { en: (size: number) => `${size} px`, ja: (size: number) => `${size} px` },
  screenReader: { en: 'Read the output to a screen reader', ja: '出力をスクリーン リーダーで読み上げる' },
  keys: { en: 'Keys', ja: 'キー操作' },
  keysCopy: { en: 'Copy: Ctrl+Shift+C. Paste: Ctrl+Shift+V.', ja: 'コピー: Ctrl+Shift+C、貼り付け: Ctrl+Shift+V' },
  keysLeave: {
    en: 'Leave the terminal, which takes the Tab key: Ctrl+F6.',
    ja: 'ターミナルから出る (Tab キーはターミナルに送られます): Ctrl+F6',
  },
  linkTitle: { en: 'Open this link?', ja: 'このリンクを開きますか?' },
  linkWhy: {
    en: 'The machine printed it. Its text may have said something else.',
    ja: 'マシンが出力したリンクです。表示されていた文字と実際のリンク先は異なる場合があります。',
  },
  openLink: { en: 'Open', ja: '開く' },
  pasteTitle: {
    en: (lines: number) => `Paste ${plural(lines, 'line', 'lines')}?`,
    ja: (lines: number) => `${num(lines)} 行を貼り付けますか?`,
  },
  pasteWhy: {
    en: 'The program that runs may carry out each line at once.',
    ja: '実行中のプログラムは、各行をすぐに実行する可能性があります。',
  },
  paste: { en: 'Paste', ja: '貼り付け' },
  exitOk: { en: 'The shell ended (status 0).', ja: 'シェルが終了しました (終了コード 0)。' },
  exitStatus: {
    en: (status: number) => `The shell ended with status ${status}.`,
    ja: (status: number) => `シェルが終了コード ${status} で終了しました。`,
  },
  exitSignal: {
    en: (signal: string) => `The shell was ended by ${signal}.`,
    ja: (signal: string) => `シェルがシグナル ${signal} で終了しました。`,
  },
})
