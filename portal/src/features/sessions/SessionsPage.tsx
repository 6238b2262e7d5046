import { Page } from '../../ui/Page.tsx'
import { CredentialsCard } from './CredentialsCard.tsx'
import { m } from './messages.ts'
import { SessionsCard } from './SessionsCard.tsx'

export default function SessionsPage() {
  return (
    <Page title={m.title} subtitle={m.subtitle}>
      <CredentialsCard />
      <SessionsCard />
    </Page>
  )
}
