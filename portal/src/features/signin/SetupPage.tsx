import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { Link2 } from 'lucide-react'
import { useState } from 'react'
import { authQueries, inspectSetup } from '../../api/queries/auth.ts'
import type { SetupDone, SetupLink } from '../../api/types.ts'
import { ago } from '../../app/format.ts'
import { setupToken } from '../../app/setupToken.ts'
import { Section } from '../../parts/Section.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Frame } from './Frame.tsx'
import { m } from './messages.ts'
import { RecoveryCodes } from './RecoveryCodes.tsx'
import { SetupForm } from './SetupForm.tsx'

const titles = (kind: SetupLink['kind']) =>
  ({
    firstRun: [m.setupFirst, m.setupFirstWhy],
    invite: [m.setupInvite, m.setupInviteWhy],
    reset: [m.setupReset, m.setupInviteWhy],
  })[kind]

export default function SetupPage() {
  const client = useQueryClient()
  const navigate = useNavigate()
  const [token] = useState(setupToken)
  const [done, setDone] = useState<SetupDone>()
  const link = useQuery({
    queryKey: ['setup-link'],
    queryFn: () => inspectSetup(token ?? ''),
    enabled: token !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
  })

  const open = () => {
    client.setQueryData(authQueries.session().queryKey, done?.session)
    void navigate({ to: '/' })
  }

  return (
    <Frame>
      {done ? (
        <RecoveryCodes codes={done.recoveryCodes} onSaved={open} />
      ) : token ? (
        <Section query={link}>
          {(data) => {
            const [title, why] = titles(data.kind)
            return (
              <>
                <h1 className="text-2xl font-semibold tracking-tight">{title}</h1>
                <p className="mt-2 mb-6 text-sm text-ink-2">
                  {why} <span className="text-ink-3">{m.expires(ago(data.expiresAt))}</span>
                </p>
                <SetupForm token={token} link={data} onDone={setDone} />
              </>
            )
          }}
        </Section>
      ) : (
        <EmptyState icon={<Link2 size={20} aria-hidden />} title={m.noToken}>
          {m.noTokenWhy}
        </EmptyState>
      )}
    </Frame>
  )
}
