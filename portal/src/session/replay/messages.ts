import { num, plural } from '../../app/format.ts'
import { messages } from '../../app/i18n.ts'

export const m = messages({
  title: { en: (name: string) => `Recording of ${name}`, ja: (name: string) => `${name} の記録` },
  portal: { en: 'Sekisho portal', ja: 'Sekisho ポータル' },
  nowhere: { en: 'There is no such recording', ja: '記録が見つかりません' },
  nowhereWhy: { en: 'Open one from Sessions in the portal.', ja: 'ポータルの［セッション］から開いてください。' },
  play: { en: 'Play', ja: '再生' },
  pause: { en: 'Pause', ja: '一時停止' },
  position: { en: 'Position', ja: '再生位置' },
  speed: { en: 'Speed', ja: '再生速度' },
  times: { en: (n: number) => `${n}×`, ja: (n: number) => `${n} 倍` },
  skipIdle: { en: 'Skip pauses', ja: '無操作時間をスキップ' },
  loading: { en: 'Loading…', ja: '読み込んでいます…' },
  find: { en: 'Find on the screen', ja: '画面の文字を検索' },
  found: { en: 'Found', ja: '検索結果' },
  notFound: { en: 'This was never on the screen.', ja: '一致する表示はありません。' },
  done: { en: 'Commands, files and clipboards', ja: 'コマンド、ファイル、クリップボード' },
  bytes: { en: (n: number) => `(${num(n)} bytes)`, ja: (n: number) => `(${num(n)} バイト)` },
  picture: { en: (name: string) => `Screen of ${name}`, ja: (name: string) => `${name} の画面` },
  pasted: {
    en: (n: number) => `clipboard to the machine (${plural(n, 'character', 'characters')})`,
    ja: (n: number) => `クリップボードをマシンへ (${num(n)} 文字)`,
  },
  copied: {
    en: (n: number) => `clipboard from the machine (${plural(n, 'character', 'characters')})`,
    ja: (n: number) => `クリップボードをマシンから (${num(n)} 文字)`,
  },
  asciicast: { en: 'asciicast', ja: 'asciicast' },
  text: { en: 'Text', ja: 'テキスト' },
  file: { en: 'Sealed file', ja: '封印付きファイル' },
  download: { en: (as: string) => `Download as ${as}`, ja: (as: string) => `${as} でダウンロード` },
  open: {
    en: 'The session is still open; this is what there is so far.',
    ja: 'セッションは継続中です。ここまでの記録を表示しています。',
  },
  interrupted: {
    en: 'The recording stops before the session ended.',
    ja: '記録はセッションの終了前に途切れています。',
  },
  broken: {
    en: 'The recording was changed after it was written, or is damaged. Do not rely on it.',
    ja: '記録が書き込み後に変更されたか、破損しています。証拠として使用できません。',
  },
})
