import { num } from '../app/format.ts'
import { messages } from '../app/i18n.ts'

/** What is said about every session on a machine, whatever it shows. */
export const common = messages({
  portal: { en: 'Sekisho portal', ja: 'Sekisho ポータル' },
  nowhere: { en: 'No session is open here', ja: '開いているセッションはありません' },
  closeTitle: { en: (name: string) => `End ${name}?`, ja: (name: string) => `${name} を終了しますか?` },
  closeWhy: {
    en: 'The session ends, and what runs in it as well.',
    ja: 'セッションと、その中で実行中のプログラムが終了します。',
  },
  end: { en: 'End', ja: '終了' },
  endLong: { en: 'End the session', ja: 'セッションを終了' },
  leave: { en: 'Stop watching', ja: '閲覧をやめる' },
  cancel: { en: 'Cancel', ja: 'キャンセル' },
  language: { en: '日本語に切り替え', ja: 'Switch to English' },
  done: { en: 'Done', ja: '完了' },
  connecting: { en: 'Connecting…', ja: '接続しています…' },
  dropped: { en: 'The connection was lost.', ja: '接続が切れました。' },
  droppedWhy: {
    en: 'The session goes on at the machine. What you type now goes nowhere.',
    ja: 'マシン側ではセッションが続いています。今入力した内容は送信されません。',
  },
  retryIn: {
    en: (sec: number) => `Trying again in ${num(sec)} s.`,
    ja: (sec: number) => `${num(sec)} 秒後に再接続します。`,
  },
  retryNow: { en: 'Try now', ja: '今すぐ再接続' },
  reconnecting: { en: 'Connecting again…', ja: '再接続しています…' },
  watching: {
    en: (names: string) => `Watching: ${names}`,
    ja: (names: string) => `閲覧中: ${names}`,
  },
  joined: {
    en: (names: string) => `Typing with you: ${names}`,
    ja: (names: string) => `入力に参加中: ${names}`,
  },
  message: { en: (from: string) => `Message from ${from}`, ja: (from: string) => `${from} からのメッセージ` },
  read: { en: 'Read', ja: '確認' },
  idleIn: {
    en: (sec: number) => `Nothing was typed for long: this session ends in ${num(sec)} s.`,
    ja: (sec: number) => `しばらく入力がないため、${num(sec)} 秒後にこのセッションを終了します。`,
  },
  overIn: {
    en: (sec: number) => `The time is over: this session ends in ${num(sec)} s.`,
    ja: (sec: number) => `時間が来るため、${num(sec)} 秒後にこのセッションを終了します。`,
  },
  readOnly: { en: 'You only watch', ja: '閲覧のみ' },
  interactive: { en: 'You are in a session of somebody else', ja: '他のユーザーのセッションに参加中' },
  recorded: { en: 'Recorded', ja: '記録中' },
  recordedFull: { en: 'What is on the screen is recorded.', ja: '画面の内容が記録されます。' },
  recordedMetadata: {
    en: 'That there is this session is recorded, not what is on the screen.',
    ja: 'セッションがあったことだけが記録され、画面の内容は記録されません。',
  },
  noCopy: { en: 'No copying', ja: 'コピー禁止' },
  noPaste: { en: 'No pasting', ja: '貼り付け禁止' },
  noCopyPaste: { en: 'No copying, no pasting', ja: 'コピーと貼り付け禁止' },
  byPolicy: { en: 'Set on the bastion host.', ja: 'Bastion ホストの設定です。' },
  copyDenied: {
    en: 'The bastion host does not allow copying from this session.',
    ja: 'Bastion ホストの設定により、このセッションからのコピーはできません。',
  },
  pasteDenied: {
    en: 'The bastion host does not allow pasting into this session.',
    ja: 'Bastion ホストの設定により、このセッションへの貼り付けはできません。',
  },
  until: { en: (when: string) => `Ends ${when}`, ja: (when: string) => `終了予定: ${when}` },
  again: { en: 'New session', ja: '新しいセッション' },
  closeOne: { en: 'Close', ja: '閉じる' },
  Closed: { en: 'The session has ended.', ja: 'セッションは終了しました。' },
  Disconnected: { en: 'Somebody ended this session.', ja: '他のユーザーがこのセッションを終了しました。' },
  NotAllowedAnyMore: {
    en: 'You may not be here any more: a right was taken away, or its time is over.',
    ja: 'アクセス許可が取り消されたか期限切れのため、セッションを終了しました。',
  },
  ConditionalAccess: {
    en: 'Conditional access does not allow this session any more.',
    ja: '条件付きアクセスにより、セッションを終了しました。',
  },
  SignInEnded: {
    en: 'Your sign-in has ended, and this session with it.',
    ja: 'サインインが終了したため、セッションも終了しました。',
  },
  TimeOver: { en: 'The time of this session is over.', ja: 'セッションの制限時間が来ました。' },
  Idle: { en: 'The session ended because nothing was typed.', ja: '入力がなかったため、セッションを終了しました。' },
  RecordingFailed: {
    en: 'The session had to be recorded, and could not be: it was ended.',
    ja: '記録が必須ですが記録できなかったため、セッションを終了しました。',
  },
  Lost: {
    en: 'The session is gone: the machine or the server was away for too long.',
    ja: 'マシンまたはサーバーとの接続が長時間切れていたため、セッションは失われました。',
  },
  TakenOver: {
    en: 'This session goes on in another window.',
    ja: 'このセッションは別のウィンドウで続いています。',
  },
})
