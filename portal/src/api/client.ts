import { ApiError } from './errors.ts'
import { askToConfirm } from './stepUp.ts'
import type { List, Session } from './types.ts'

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
type Options = { body?: unknown; etag?: string; signal?: AbortSignal }
type Sent = Options & {
  /** What the person has just confirmed, for exactly this request. */
  approval?: string
  /** It ends the session. */
  isLast?: boolean
}

function channel<T>() {
  const listeners = new Set<(news: T) => void>()
  return {
    tell: (news: T) => {
      for (const listener of listeners) listener(news)
    },
    on: (listener: (news: T) => void) => {
      listeners.add(listener)
      return () => {
        listeners.delete(listener)
      }
    },
  }
}

/** Who is signed in, when somebody asked: nobody, when a request found that the session is gone. */
const signedIn = channel<Session | undefined>()
/** Whether the server answered the last request, whatever it answered. */
const reach = channel<boolean>()

export const onSignedIn = signedIn.on
export const onReach = reach.on

/** Aborted when the person signs out: whatever the page still asks for has nobody left to answer to. */
let standing = new AbortController()

async function send(method: Method, url: string, options: Sent): Promise<Response> {
  const { body, etag, approval } = options
  const all = [...(options.isLast ? [] : [standing.signal]), ...(options.signal ? [options.signal] : [])]
  const signal = all.length > 1 ? AbortSignal.any(all) : all[0]
  const headers: Record<string, string> = { accept: 'application/json' }
  if (method === 'POST' || method === 'PUT' || method === 'PATCH') headers['content-type'] = 'application/json'
  if (etag) headers['if-match'] = etag
  if (approval) headers['sekisho-approval'] = approval
  let response: Response
  try {
    response = await fetch(url, {
      method,
      headers,
      credentials: 'same-origin',
      signal,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  } catch (cause) {
    if (signal?.aborted) throw cause
    reach.tell(false)
    throw new ApiError(0, undefined)
  }
  reach.tell(true)
  if (response.ok) return response
  const error = new ApiError(response.status, await jsonOf(response), response.headers)
  if (error.stepUp) {
    const confirmed = approval ? undefined : askToConfirm({ ...error.stepUp, target: `${method} ${decodeURI(url)}` })
    if (confirmed) return send(method, url, { ...options, approval: await confirmed })
  } else if (error.status === 401 && !url.startsWith('/auth/')) signedIn.tell(undefined)
  throw error
}

async function jsonOf(response: Response): Promise<unknown> {
  const text = await response.text()
  if (text === '') return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Links the server hands out are absolute; only their path may be followed (CSP: connect-src 'self'). */
function localPath(link: string) {
  const url = new URL(link, location.origin)
  return url.pathname + url.search
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** One call; a 202 is followed through its Location until the operation ends, as every ARM client does. */
export async function call<T>(method: Method, url: string, options: Options = {}): Promise<T> {
  let response = await send(method, url, options)
  for (let waitMs = 200; response.status === 202; waitMs = Math.min(waitMs * 1.5, 3_000)) {
    const link = response.headers.get('location') ?? response.headers.get('azure-asyncoperation')
    if (!link) break
    await pause(waitMs)
    response = await send('GET', localPath(link), { signal: options.signal })
  }
  return (await jsonOf(response)) as T
}

/** Ends the session. The page has to be left after it: it can ask for nothing any more. */
export async function signOut() {
  standing.abort()
  try {
    await send('POST', '/auth/signout', { body: {}, isLast: true })
  } catch (error) {
    standing = new AbortController()
    throw error
  }
}

export const get = <T>(url: string, signal?: AbortSignal) => call<T>('GET', url, { signal })

/** Asks whether the session still stands, and tells. */
export async function checkSession() {
  try {
    const session = await get<Session>('/auth/session')
    // Somebody of whom a policy asks for more is not in yet.
    signedIn.tell(session.missing ? undefined : session)
    return session
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) signedIn.tell(undefined)
    throw error
  }
}

/** Every page of a list. */
export async function listAll<T>(url: string, signal?: AbortSignal): Promise<T[]> {
  const rows: T[] = []
  for (let next: string | undefined = url; next;) {
    const page: List<T> = await get<List<T>>(next, signal)
    rows.push(...page.value)
    next = page.nextLink ? localPath(page.nextLink) : undefined
  }
  return rows
}

export const nextPage = <T>(link: string, signal?: AbortSignal) => get<List<T>>(localPath(link), signal)
