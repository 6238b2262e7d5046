import { useQuery } from '@tanstack/react-query'
import { authQueries } from '../../api/queries/auth.ts'
import { Page } from '../../ui/Page.tsx'
import { Skeleton } from '../../ui/Skeleton.tsx'
import { CredentialsCard } from './CredentialsCard.tsx'
import { GrantsCard } from './GrantsCard.tsx'
import { m } from './messages.ts'
import { SessionsCard } from './SessionsCard.tsx'

export default function SessionsPage() {
  // One below the other: the lower would jump when the upper learns how long it is.
  const isPending = [
    useQuery(authQueries.sessions()),
    useQuery(authQueries.credentials()),
    useQuery(authQueries.grants()),
  ].some((query) => query.isPending)
  return (
    <Page title={m.title} subtitle={m.subtitle}>
      {isPending ? (
        <div aria-busy>
          <Skeleton className="h-96" />
        </div>
      ) : (
        <>
          <CredentialsCard />
          <SessionsCard />
          <GrantsCard />
        </>
      )}
    </Page>
  )
}
