import { useQuery } from '@tanstack/react-query'
import { jitQueries } from '../api/queries/jit.ts'
import { asked, forOthers } from '../domain/access.ts'
import { num, plural } from './format.ts'
import { messages } from './i18n.ts'
import { useScope } from './scope.ts'

const m = messages({
  waiting: {
    en: (n: number) => `${plural(n, 'request waits', 'requests wait')} for a decision`,
    ja: (n: number) => `承認待ちの要求 ${num(n)} 件`,
  },
})

/** How many requests for access of others wait for somebody to decide, wherever in the portal one is. */
export default function WaitingBadge() {
  const { subscriptionId, session } = useScope()
  const { data = 0 } = useQuery({
    ...jitQueries.policies(subscriptionId),
    enabled: subscriptionId !== '',
    select: (policies) => forOthers(asked(policies), session.person.id).length,
  })
  // Beside the link and not in it: what a link is called is not read out when it changes.
  return (
    <span role="status" className="pointer-events-none absolute inset-y-0 right-2.5 flex items-center">
      {data > 0 && (
        <>
          <span aria-hidden className="tnum rounded-full bg-[#e6bd55] px-1.5 text-2xs font-semibold text-[#1c2333]">
            {num(data)}
          </span>
          <span className="sr-only">{m.waiting(data)}</span>
        </>
      )}
    </span>
  )
}
