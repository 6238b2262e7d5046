import { ApiError } from './errors.ts'
import type { List } from './types.ts'

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
type Options = { body?: unknown; etag?: string; signal?: AbortSignal }

const signedOutListeners = new Set<() => void>()

/** Called when a request finds that the session is gone; the shell asks for a new sign-in over the page. */
export function onSignedOut(listener: () => void) {
  signedOutListeners.add(listener)
  return () => {
    signedOutListeners.delete(listener)
  }
}

async function send(method: Method, url: string, { body, etag, signal }: Options) {
  const headers: Record<string, string> = { accept: 'application/json' }
  if (method === 'POST' || method === 'PUT' || method === 'PATCH') headers['content-type'] = 'application/json'
  if (etag) headers['if-match'] = etag
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
    throw new ApiError(0, undefined)
  }
  if (response.ok) return response
  const error = new ApiError(response.status, await jsonOf(response), response.headers)
  if (error.status === 401 && !url.startsWith('/auth/')) for (const listener of signedOutListeners) listener()
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

export const get = <T>(url: string, signal?: AbortSignal) => call<T>('GET', url, { signal })

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
