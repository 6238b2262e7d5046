import { Link } from '@tanstack/react-router'
import { CircleAlert } from 'lucide-react'
import type { ReactNode } from 'react'
import { shownError } from '../app/errors.ts'
import { messages } from '../app/i18n.ts'
import { Button } from './Button.tsx'
import { CopyButton } from './CopyButton.tsx'

const m = messages({
  retry: { en: 'Try again', ja: '再試行' },
  needs: { en: (action: string) => `Needs the action ${action}`, ja: (action: string) => `必要な操作: ${action}` },
  at: { en: (scope: string) => `at ${scope}`, ja: (scope: string) => `スコープ: ${scope}` },
  takeRole: { en: (role: string) => `Activate ${role}`, ja: (role: string) => `${role} を有効化する` },
  wait: { en: (sec: number) => `Try again in ${sec} s.`, ja: (sec: number) => `${sec} 秒後にやり直してください。` },
  request: { en: 'Request id', ja: '要求 ID' },
  copy: { en: 'Copy the error', ja: 'エラーをコピー' },
})

/** A failure in plain words, with what support needs (code, request id) and what the person needs (action, retry). */
export function ErrorNote({
  error,
  onRetry,
  children,
}: {
  error: unknown
  onRetry?: () => void
  children?: ReactNode
}) {
  const shown = shownError(error)
  return (
    <div role="alert" className="flex gap-3 rounded-lg border border-crit/30 bg-crit-soft px-3 py-2.5 text-sm">
      <CircleAlert size={16} className="mt-0.5 shrink-0 text-crit" aria-hidden />
      <div className="min-w-0 flex-1">
        <p className="font-medium text-ink">{shown.title}</p>
        {shown.missingAction && (
          <p className="text-xs break-all text-ink-2">
            {m.needs(shown.missingAction)} {shown.missingScope && m.at(shown.missingScope)}
          </p>
        )}
        {shown.detail && shown.detail !== shown.title && (
          <p className="mt-0.5 text-xs break-words text-ink-2">{shown.detail}</p>
        )}
        {shown.activatableRole && (
          <Link to="/my-roles" className="mt-0.5 inline-block text-xs font-medium text-accent underline">
            {m.takeRole(shown.activatableRole)}
          </Link>
        )}
        {shown.retryAfterSec && <p className="mt-0.5 text-xs text-ink-2">{m.wait(shown.retryAfterSec)}</p>}
        <p className="mt-1 flex flex-wrap items-center gap-x-2 font-mono text-2xs text-ink-2">
          <span>{shown.code}</span>
          {shown.requestId && (
            <span>
              {m.request} {shown.requestId}
            </span>
          )}
          <CopyButton text={JSON.stringify(shown)} label={m.copy} />
        </p>
        {children}
      </div>
      {onRetry && (
        <Button size="sm" onPress={onRetry}>
          {m.retry}
        </Button>
      )}
    </div>
  )
}
