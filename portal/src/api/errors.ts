import type { StepUp } from './stepUp.ts'
import type { ErrorDetail, ErrorResponse, Explanation } from './types.ts'

export type { ErrorDetail }

/** What a person needs to report or act on a refusal: the ARM error and the request id. */
export class ApiError extends Error {
  override name = 'ApiError'
  readonly status: number
  readonly code: string
  readonly target?: string
  readonly details: ErrorDetail[]
  readonly requestId?: string
  readonly retryAfterSec?: number
  /** The action that is missing, when authorization refused. */
  readonly missingAction?: string
  readonly missingScope?: string
  /** The role that would allow it, if the person activated it. */
  readonly activatableRole?: string
  /** How to confirm the request, when that is all that is missing. */
  readonly stepUp?: StepUp

  constructor(status: number, body: unknown, headers?: Headers) {
    const error = errorOf(body)
    super(error?.message ?? `HTTP ${status}`)
    this.status = status
    this.code = error?.code ?? (status === 0 ? 'Unreachable' : `Http${status}`)
    this.target = error?.target
    this.details = error?.details ?? []
    this.requestId = headers?.get('x-ms-request-id') ?? undefined
    const retryAfter = Number(headers?.get('retry-after'))
    this.retryAfterSec = Number.isFinite(retryAfter) && retryAfter > 0 ? retryAfter : undefined
    const info = (type: string) => error?.additionalInfo?.find((item) => item.type === type)?.info
    const decision = info('AuthorizationDecision') as Partial<Explanation> | undefined
    this.stepUp = info('StepUp') as StepUp | undefined
    this.missingAction = decision?.action
    this.missingScope = decision?.scope
    this.activatableRole = decision?.activatable?.roleName
  }
}

function errorOf(body: unknown) {
  if (typeof body !== 'object' || body === null || !('error' in body)) return
  return (body as ErrorResponse).error
}
