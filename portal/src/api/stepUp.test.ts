import { afterEach, expect, test, vi } from 'vitest'
import { call, onSignedIn } from './client.ts'
import { onStepUp } from './stepUp.ts'

const asked = { reason: 'rights', ceremony: 'c1', method: 'passkey' } as const
const refusal = () =>
  Response.json(
    { error: { code: 'StepUpRequired', message: 'm', additionalInfo: [{ type: 'StepUp', info: asked }] } },
    { status: 401 },
  )

/** Every request of the portal, answered in turn. */
function answering(...answers: Response[]) {
  const fetched = vi.fn<typeof fetch>()
  for (const answer of answers) fetched.mockResolvedValueOnce(answer)
  vi.stubGlobal('fetch', fetched)
  return fetched
}

const url = '/r?api-version=1'
const body = { a: 1 }

afterEach(() => vi.unstubAllGlobals())

test('what must be confirmed is sent once more with its approval, and is otherwise the same', async () => {
  const fetched = answering(refusal(), Response.json({ done: true }))
  const confirm = vi.fn(async () => 'ska_x')
  const stop = onStepUp(confirm)
  expect(await call('PUT', url, { body, etag: 'e' })).toEqual({ done: true })
  stop()
  expect(confirm).toHaveBeenCalledExactlyOnceWith({ ...asked, target: `PUT ${url}` })
  const [first, second] = fetched.mock.calls
  expect(second?.[0]).toBe(first?.[0])
  const headers = first?.[1]?.headers
  expect(second?.[1]).toEqual({ ...first?.[1], headers: { ...headers, 'sekisho-approval': 'ska_x' } })
})

test('an approval that is refused is not asked for again, and nobody is signed out by it', async () => {
  answering(refusal(), refusal())
  const signedOut = vi.fn()
  const [stop, forget] = [onStepUp(async () => 'ska_x'), onSignedIn(signedOut)]
  await expect(call('DELETE', url)).rejects.toMatchObject({ code: 'StepUpRequired' })
  stop()
  forget()
  expect(signedOut).not.toHaveBeenCalled()
})

test('what the person does not confirm is not sent', async () => {
  const fetched = answering(refusal())
  const why = new Error('no')
  const stop = onStepUp(async () => {
    throw why
  })
  await expect(call('POST', url, { body })).rejects.toBe(why)
  stop()
  expect(fetched).toHaveBeenCalledOnce()
})
