import type { Page } from '@playwright/test'

type Asked = { error: { additionalInfo: [{ info: { ceremony: string; publicKey: never } }] } }

/** A request of the page's person that no page makes, confirmed with their passkey where it must be. */
export const send = (page: Page, method: string, url: string, body?: unknown) =>
  page.evaluate(
    async (request) => {
      const ask = (what: typeof request, more: Record<string, string> = {}) => {
        const headers = { 'content-type': 'application/json', ...more }
        return fetch(what.url, { method: what.method, headers, body: JSON.stringify(what.body) })
      }
      const said = async (answer: Response) => JSON.parse((await answer.text()) || '{}') as Record<string, string>
      const first = await ask(request)
      if (first.status !== 401) return said(first)
      const { ceremony, publicKey } = ((await first.json()) as Asked).error.additionalInfo[0].info
      const options = PublicKeyCredential.parseRequestOptionsFromJSON(publicKey)
      const given = (await navigator.credentials.get({ publicKey: options })) as PublicKeyCredential
      const proof = { ceremony, credential: given.toJSON() as unknown }
      const proved = await ask({ method: 'POST', url: '/auth/stepup', body: proof })
      const { approval } = (await proved.json()) as { approval: string }
      return said(await ask(request, { 'sekisho-approval': approval }))
    },
    { method, url, body },
  )
