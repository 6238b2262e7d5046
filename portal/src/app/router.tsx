import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  redirect,
  retainSearchParams,
} from '@tanstack/react-router'
import type { QueryClient } from '@tanstack/react-query'
import { authQueries } from '../api/queries/auth.ts'
import { ApiError } from '../api/errors.ts'
import type { Session } from '../api/types.ts'
import { LocaleBoundary } from './LocaleBoundary.tsx'
import { PageError } from './PageError.tsx'
import { NotFound } from './NotFound.tsx'
import { PagePending } from './PagePending.tsx'
import { queryClient } from './query.ts'
import { Shell } from './Shell.tsx'
import { count, flag, list, params, text } from './search.ts'

const root = createRootRouteWithContext<{ queryClient: QueryClient }>()({
  component: () => (
    <LocaleBoundary>
      <Outlet />
    </LocaleBoundary>
  ),
  notFoundComponent: NotFound,
})

const signin = createRoute({
  getParentRoute: () => root,
  path: '/signin',
  validateSearch: params({ return: text }),
  component: lazyRouteComponent(() => import('../features/signin/SignInPage.tsx')),
})

const setup = createRoute({
  getParentRoute: () => root,
  path: '/setup',
  component: lazyRouteComponent(() => import('../features/signin/SetupPage.tsx')),
})

const authorize = createRoute({
  getParentRoute: () => root,
  path: '/authorize',
  component: lazyRouteComponent(() => import('../features/signin/AuthorizePage.tsx')),
})

const devicelogin = createRoute({
  getParentRoute: () => root,
  path: '/devicelogin',
  component: lazyRouteComponent(() => import('../features/signin/DeviceLoginPage.tsx')),
})

const stepUp = createRoute({
  getParentRoute: () => root,
  path: '/step-up',
  validateSearch: params({ return: text }),
  component: lazyRouteComponent(() => import('../features/signin/StepUpPage.tsx')),
})

const shell = createRoute({
  getParentRoute: () => root,
  id: 'shell',
  validateSearch: params({ sub: text, rg: text }),
  search: { middlewares: [retainSearchParams(['sub', 'rg'])] },
  beforeLoad: async ({ context, location }) => {
    const search = location.href === '/' ? {} : { return: location.href }
    let session: Session
    try {
      session = await context.queryClient.ensureQueryData(authQueries.session())
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error
      throw redirect({ to: '/signin', search })
    }
    if (session.missing) throw redirect({ to: '/step-up', search })
  },
  component: Shell,
})

const overview = createRoute({
  getParentRoute: () => shell,
  path: '/',
  component: lazyRouteComponent(() => import('../features/overview/OverviewPage.tsx')),
})

const machines = createRoute({
  getParentRoute: () => shell,
  path: '/machines',
  validateSearch: params({ q: text, f: list, cols: list, sort: text, desc: flag, connect: flag }),
  component: lazyRouteComponent(() => import('../features/machines/MachinesPage.tsx')),
})

const enrolment = createRoute({
  getParentRoute: () => shell,
  path: '/enrolment',
  component: lazyRouteComponent(() => import('../features/enrolment/EnrolmentPage.tsx')),
})

const nsgs = createRoute({
  getParentRoute: () => shell,
  path: '/nsg',
  validateSearch: params({ q: text, create: flag, tab: text }),
  component: lazyRouteComponent(() => import('../features/nsg/NsgListPage.tsx')),
})

const flowMap = createRoute({
  getParentRoute: () => shell,
  path: '/flow-map',
  validateSearch: params({ span: text, access: text, by: text, expand: text }),
  component: lazyRouteComponent(() => import('../features/flowmap/FlowMapPage.tsx')),
})

const jit = createRoute({
  getParentRoute: () => shell,
  path: '/jit',
  validateSearch: params({ view: text, request: text }),
  component: lazyRouteComponent(() => import('../features/jit/JitPage.tsx')),
})

const rbac = createRoute({
  getParentRoute: () => shell,
  path: '/rbac',
  validateSearch: params({ tab: text, q: text, role: text }),
  component: lazyRouteComponent(() => import('../features/rbac/RbacPage.tsx')),
})

const people = createRoute({
  getParentRoute: () => shell,
  path: '/people',
  validateSearch: params({ tab: text, q: text }),
  component: lazyRouteComponent(() => import('../features/people/PeoplePage.tsx')),
})

const servicePrincipals = createRoute({
  getParentRoute: () => shell,
  path: '/service-principals',
  component: lazyRouteComponent(() => import('../features/serviceprincipals/ServicePrincipalsPage.tsx')),
})

const conditionalAccess = createRoute({
  getParentRoute: () => shell,
  path: '/conditional-access',
  validateSearch: params({ tab: text }),
  component: lazyRouteComponent(() => import('../features/conditionalaccess/ConditionalAccessPage.tsx')),
})

const signIns = createRoute({
  getParentRoute: () => shell,
  path: '/sign-ins',
  component: lazyRouteComponent(() => import('../features/sessions/SessionsPage.tsx')),
})

const bastion = createRoute({
  getParentRoute: () => shell,
  path: '/bastion',
  validateSearch: params({ create: flag }),
  component: lazyRouteComponent(() => import('../features/bastion/HostsPage.tsx')),
})

const sessions = createRoute({
  getParentRoute: () => shell,
  path: '/sessions',
  validateSearch: params({ tab: text, q: text }),
  component: lazyRouteComponent(() => import('../features/bastion/BastionSessionsPage.tsx')),
})

const myRoles = createRoute({
  getParentRoute: () => shell,
  path: '/my-roles',
  component: lazyRouteComponent(() => import('../features/myroles/MyRolesPage.tsx')),
})

const everyone = createRoute({
  getParentRoute: () => shell,
  path: '/everyone',
  component: lazyRouteComponent(() => import('../features/sessions/EveryonePage.tsx')),
})

const audit = createRoute({
  getParentRoute: () => shell,
  path: '/audit',
  validateSearch: params({ q: text, hours: count, status: text }),
  component: lazyRouteComponent(() => import('../features/audit/AuditPage.tsx')),
})

/** The one address of every resource: `/r/<ARM id>[/tab]`. */
const resource = createRoute({
  getParentRoute: () => shell,
  path: '/r/$',
  validateSearch: params({ q: text, rule: text, view: text, kind: text, hours: count }),
  component: lazyRouteComponent(() => import('./ResourceRoute.tsx')),
})

export const router = createRouter({
  routeTree: root.addChildren([
    signin,
    setup,
    authorize,
    devicelogin,
    stepUp,
    shell.addChildren([
      overview,
      machines,
      enrolment,
      nsgs,
      flowMap,
      jit,
      rbac,
      people,
      servicePrincipals,
      conditionalAccess,
      bastion,
      sessions,
      signIns,
      myRoles,
      everyone,
      audit,
      resource,
    ]),
  ]),
  context: { queryClient },
  defaultPreload: 'intent',
  defaultPreloadStaleTime: 0,
  defaultPendingMs: 150,
  defaultPendingComponent: PagePending,
  defaultErrorComponent: PageError,
  defaultNotFoundComponent: NotFound,
  scrollRestoration: false,
})

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router
  }
}
