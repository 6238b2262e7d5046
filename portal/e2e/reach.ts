import type { Page } from '@playwright/test'
import { ready } from './ready.ts'
import { send } from './send.ts'
import { setLanguage } from './signIn.ts'

const adminLogin = '1c0163c0-47e6-4577-8991-ea5c82e286e4'

type Host = { name: string; sku: 'Standard' | 'Premium'; properties: Record<string, unknown> }

/** A bastion host leads to the machines of the demo, on the nth of which the owner may log in as administrator. */
export async function reach(portal: Page, nth: number, { name, sku, properties }: Host) {
  const machine = ready.machines[nth]
  if (!machine) throw new Error(`the demo has no machine ${nth}`)
  const [group = ''] = machine.id.split('/providers/')
  await portal.goto(`${ready.url}/machines`)
  await setLanguage(portal, 'en')
  const me = await portal.evaluate(
    async () => (await (await fetch('/auth/session')).json()) as { person: { id: string } },
  )
  const host = `${group}/providers/Microsoft.Network/bastionHosts/${name}?api-version=2024-05-01`
  await send(portal, 'PUT', host, { location: 'home', sku: { name: sku }, properties })
  // One assignment, however often it is made.
  const role = `${machine.id}/providers/Microsoft.Authorization/roleAssignments/5e6b1c0e-aaaa-4000-8000-00000000000${nth}`
  await send(portal, 'PUT', `${role}?api-version=2022-04-01`, {
    properties: {
      roleDefinitionId: `/providers/Microsoft.Authorization/roleDefinitions/${adminLogin}`,
      principalId: me.person.id,
      principalType: 'User',
    },
  })
  return { id: machine.id, name: machine.name.toLowerCase() }
}
