import { getRouteApi } from '@tanstack/react-router'
import { lazy, Suspense } from 'react'
import { types } from '../api/keys.ts'
import { parseArmId, splitTab } from '../domain/armId.ts'
import { NotFound } from './NotFound.tsx'
import { PagePending } from './PagePending.tsx'

const MachinePage = lazy(() => import('../features/machine/MachinePage.tsx'))
const NsgPage = lazy(() => import('../features/nsg/NsgPage.tsx'))
const HostPage = lazy(() => import('../features/bastion/HostPage.tsx'))
const AnyResourcePage = lazy(() => import('../features/resource/AnyResourcePage.tsx'))

const route = getRouteApi('/shell/r/$')

export default function ResourceRoute() {
  const { _splat = '' } = route.useParams()
  const { id, tab } = splitTab(_splat)
  const parsed = parseArmId(id)
  if (!parsed) return <NotFound />
  return (
    <Suspense fallback={<PagePending />}>
      {parsed.type === types.machine ? (
        <MachinePage key={id} id={id} tab={tab} />
      ) : parsed.type === types.nsg ? (
        <NsgPage key={id} id={id} tab={tab} />
      ) : parsed.type === types.bastionHost ? (
        <HostPage key={id} id={id} tab={tab} />
      ) : parsed.type === `${types.nsg}/securityrules` && parsed.parent ? (
        <NsgPage key={id} id={parsed.parent} tab={tab} rule={parsed.name} />
      ) : (
        <AnyResourcePage key={id} id={id} tab={tab} />
      )}
    </Suspense>
  )
}
