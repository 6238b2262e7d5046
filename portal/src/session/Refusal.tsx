import { shownError } from '../app/errors.ts'
import { messages } from '../app/i18n.ts'
import { Button } from '../ui/Button.tsx'

const m = messages({
  retry: { en: 'Try again', ja: '再試行' },
  takeRole: { en: (role: string) => `Activate ${role}`, ja: (role: string) => `${role} を有効化する` },
  needs: { en: (action: string) => `Needs the action ${action}`, ja: (action: string) => `必要な操作: ${action}` },
})

/** What `ErrorNote` says, where there is no router to follow its link with. */
export function Refusal({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const { title, detail, code, requestId, missingAction, activatableRole } = shownError(error)
  return (
    <div role="alert" className="m-auto flex max-w-xl flex-col items-start gap-2 p-8 text-sm">
      <p className="text-base font-medium">{title}</p>
      {detail && detail !== title && <p className="text-ink-2">{detail}</p>}
      {missingAction && <p className="font-mono text-xs break-all text-ink-2">{m.needs(missingAction)}</p>}
      {activatableRole && (
        <a className="text-accent underline" href="/my-roles" target="_blank" rel="noreferrer">
          {m.takeRole(activatableRole)}
        </a>
      )}
      <p className="font-mono text-2xs text-ink-2">
        {code} {requestId}
      </p>
      {onRetry && <Button onPress={onRetry}>{m.retry}</Button>}
    </div>
  )
}
