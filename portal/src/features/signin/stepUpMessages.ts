import { messages } from '../../app/i18n.ts'

export const m = messages({
  withPasskey: { en: 'Confirm with your passkey', ja: 'パスキーで確認' },
  withPassword: { en: 'Confirm with your password', ja: 'パスワードで確認' },
  why: {
    en: 'This is asked for every time, and is good for this one change only.',
    ja: '毎回確認が必要です。確認はこの変更にのみ有効です。',
  },
  waiting: { en: 'Your browser asks for your passkey…', ja: 'ブラウザーでパスキーの確認を待っています…' },
  confirm: { en: 'Confirm', ja: '確認' },
  cancel: { en: 'Cancel', ja: 'キャンセル' },
  password: { en: 'Password', ja: 'パスワード' },
  code: { en: 'Code', ja: 'コード' },
  codeHint: {
    en: 'Six digits from your authenticator app, or a recovery code',
    ja: '認証アプリの 6 桁の数字、または回復コード',
  },
})

export const reasons = messages({
  rights: { en: 'You change who has which rights.', ja: '権限の割り当てを変更します。' },
  role: { en: 'You change what a role allows.', ja: 'ロールの内容を変更します。' },
  deny: { en: 'You change what is denied.', ja: '拒否割り当てを変更します。' },
  lock: { en: 'You change a lock.', ja: 'ロックを変更します。' },
  policy: { en: 'You change which sign-ins are let in.', ja: 'サインインの許可条件を変更します。' },
  programSecret: {
    en: 'You change what a program signs in with.',
    ja: 'プログラムのサインインに使用する資格情報を変更します。',
  },
  otherPerson: {
    en: 'You change how somebody else signs in, or whether they may.',
    ja: 'ほかのユーザーのサインイン方法、または可否を変更します。',
  },
  lending: { en: 'You lend somebody else a login.', ja: 'ほかのユーザーにログインを貸与します。' },
  otherSession: { en: 'You sign somebody out.', ja: 'ほかのユーザーをサインアウトさせます。' },
})
