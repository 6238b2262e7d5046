import type { PasswordCredential } from '../../api/types.ts'
import { ago } from '../../app/format.ts'
import { useScope } from '../../app/scope.ts'
import { CodeBlock } from '../../ui/CodeBlock.tsx'
import { PropertyList } from '../../ui/PropertyList.tsx'
import { m } from './messages.ts'

/** The only moment the secret exists outside of its hash. */
export function SecretShown({ secret, appId }: { secret: PasswordCredential; appId: string }) {
  const { session } = useScope()
  return (
    <div className="flex flex-col gap-3">
      <p className="rounded-lg bg-med-soft px-3 py-2 text-sm text-ink">{m.secretOnce}</p>
      <CodeBlock label={m.secret} copyLabel={m.copy} code={secret.secretText ?? ''} />
      <PropertyList
        items={[
          [
            m.appId,
            <span key="app" className="font-mono text-xs">
              {appId}
            </span>,
          ],
          [
            m.tenantId,
            <span key="tenant" className="font-mono text-xs">
              {session.tenantId}
            </span>,
          ],
          [m.expires, ago(secret.endDateTime)],
        ]}
      />
    </div>
  )
}
