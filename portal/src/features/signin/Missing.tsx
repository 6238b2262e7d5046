import { ShieldAlert } from 'lucide-react'
import type { Session } from '../../api/types.ts'
import { m } from './messages.ts'

export type MissingProof = NonNullable<Session['missing']>

const needsPasskey = ({ needs }: MissingProof) => needs.some((need) => !need.some((way) => way.startsWith('password')))

/** Which policies ask for more, and what would do. */
export function Missing({ proof }: { proof: MissingProof }) {
  return (
    <div className="flex gap-3 rounded-lg border border-accent-line bg-accent-soft p-4">
      <ShieldAlert size={18} className="mt-0.5 shrink-0 text-accent" aria-hidden />
      <div>
        <p className="font-medium">{needsPasskey(proof) ? m.missingPasskey : m.missingFresh}</p>
        <p className="mt-1 text-sm text-ink-2">{m.missingWhy(proof.policies.join(', '))}</p>
      </div>
    </div>
  )
}

/** Whether a new passkey is what helps: one is asked for, and there is none that could be used. */
export const wantsPasskey = (proof: MissingProof, credentials: { kind: string; suspended?: boolean }[]) =>
  needsPasskey(proof) && !credentials.some(({ kind, suspended }) => kind === 'passkey' && !suspended)
