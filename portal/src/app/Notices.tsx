import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { ShieldAlert } from 'lucide-react'
import { authQueries, putNoticeAway } from '../api/queries/auth.ts'
import type { Notice } from '../api/types.ts'
import { Button } from '../ui/Button.tsx'
import { dateTime } from './format.ts'
import { messages } from './i18n.ts'

const m = messages({
  issued: {
    en: (by: string, at: string) => `${by} made a temporary access pass for your account (${at}).`,
    ja: (by: string, at: string) => `${by} があなたの一時アクセス パスを作成しました（${at}）。`,
  },
  used: {
    en: (by: string, at: string) => `A temporary access pass was used to set up a sign-in for you, from ${by} (${at}).`,
    ja: (by: string, at: string) =>
      `一時アクセス パスを使用して、${by} からあなたのサインイン方法が設定されました（${at}）。`,
  },
  recovered: {
    en: (name: string, by: string, at: string) => `A recovery link for ${name} was made by ${by} (${at}).`,
    ja: (name: string, by: string, at: string) => `${by} が ${name} の回復用リンクを作成しました（${at}）。`,
  },
  added: {
    en: (by: string, at: string) => `A way to sign in was added to your account, from ${by} (${at}).`,
    ja: (by: string, at: string) => `${by} からあなたのアカウントにサインイン方法が追加されました（${at}）。`,
  },
  removed: {
    en: (by: string, at: string) => `A way to sign in was removed from your account, from ${by} (${at}).`,
    ja: (by: string, at: string) => `${by} からあなたのアカウントのサインイン方法が削除されました（${at}）。`,
  },
  password: {
    en: (by: string, at: string) => `Your password was changed, from ${by} (${at}).`,
    ja: (by: string, at: string) => `${by} からあなたのパスワードが変更されました（${at}）。`,
  },
  suspended: {
    en: (by: string, at: string) =>
      `A copy of your passkey seems to have been used from ${by} (${at}). It signs nobody in any more.`,
    ja: (by: string, at: string) =>
      `${by} から、複製されたとみられるパスキーが使用されました（${at}）。このパスキーは停止されています。`,
  },
  reused: {
    en: (by: string, at: string) =>
      `A token of a program that acts as you was used twice, from ${by} (${at}). Its access has ended.`,
    ja: (by: string, at: string) =>
      `あなたとして動作するプログラムのトークンが ${by} から再使用されました（${at}）。アクセスは終了しました。`,
  },
  seen: { en: 'I have seen this', ja: '確認しました' },
  whatNow: {
    en: 'If nobody should have done this, end all sign-ins of that account and look at the activity log.',
    ja: '心当たりがない場合は、そのアカウントのすべてのサインインを終了し、アクティビティ ログを確認してください。',
  },
})

const texts = () => ({
  accessPassIssued: m.issued,
  accessPassUsed: m.used,
  credentialAdded: m.added,
  credentialRemoved: m.removed,
  passwordChanged: m.password,
  passkeySuspended: m.suspended,
  tokenReused: m.reused,
})

function textOf({ kind, userPrincipalName, by, at }: Notice) {
  if (kind === 'recoveryLink') return m.recovered(userPrincipalName, by, dateTime(at))
  return texts()[kind](by, dateTime(at))
}

/** What was done to somebody's way of signing in: it stays until they say that they know. */
export default function Notices() {
  const client = useQueryClient()
  const notices = useQuery(authQueries.notices())
  const away = useMutation({
    mutationFn: putNoticeAway,
    onSettled: () => client.invalidateQueries({ queryKey: authQueries.notices().queryKey }),
  })
  return (
    <div role="status">
      {notices.data?.map((notice) => (
        <div
          key={notice.id}
          className="flex items-center gap-2 border-b border-med/30 bg-med-soft px-5 py-2 text-sm"
          title={m.whatNow}
        >
          <ShieldAlert size={15} className="shrink-0 text-med" aria-hidden />
          <span className="min-w-0 flex-1">{textOf(notice)}</span>
          <Button size="sm" onPress={() => away.mutate(notice.id)}>
            {m.seen}
          </Button>
        </div>
      ))}
    </div>
  )
}
