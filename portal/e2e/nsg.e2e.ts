import { expect, type Page } from '@playwright/test'
import { expectAccessible, test } from './fixtures.ts'
import { ready } from './ready.ts'
import { setLanguage } from './signIn.ts'

type Nic = { properties: { networkSecurityGroup?: { id: string } | null } }

const nicUrl = (id: string) => `${id}?api-version=2024-05-01`

/** What guarded the interface before the test guards it afterwards. */
async function keepGroup(page: Page, nicId: string) {
  const before = await page.evaluate(async (url) => (await (await fetch(url)).json()) as Nic, nicUrl(nicId))
  return () =>
    page.evaluate(
      async ([url, group]) => {
        const nic = (await (await fetch(url)).json()) as Nic
        nic.properties.networkSecurityGroup = group
        await fetch(url, { method: 'PUT', headers: { 'content-type': 'application/json' }, body: JSON.stringify(nic) })
      },
      [nicUrl(nicId), before.properties.networkSecurityGroup ?? null] as const,
    )
}

test('a security group from nothing to a machine and back, always with its effect first', async ({ portal }) => {
  test.setTimeout(120_000)
  const [machine] = ready.machines
  if (!machine) throw new Error('the demo has no machine')
  await portal.goto(`${ready.url}/nsg`)
  await setLanguage(portal, 'en')
  const restore = await keepGroup(portal, machine.nicId)
  const name = `nsg-e2e-${Date.now()}`
  const apply = portal.getByRole('dialog').getByRole('button', { name: 'Apply to 1 machine' })
  const rules = portal.getByRole('table', { name: 'Inbound security rules' })
  try {
    await portal.getByRole('button', { name: 'Create' }).click()
    await portal.getByLabel('Name', { exact: true }).fill(name)
    await portal.getByRole('dialog').getByRole('button', { name: 'Review the effect' }).click()
    await portal
      .getByRole('dialog')
      .getByRole('button', { name: `Create ${name}` })
      .click()
    await expect(portal.getByRole('heading', { level: 1, name })).toBeVisible()
    await expect(rules.getByText('DenyAllInBound')).toBeVisible()
    await expectAccessible(portal)

    await portal.getByRole('button', { name: 'Associate' }).click()
    await portal.getByRole('region', { name: 'Network interfaces' }).getByText(machine.name).click()
    await portal.getByRole('button', { name: 'Review the effect of 1 change' }).click()
    await expect(portal.getByRole('region', { name: 'Effect on machines' }).getByText(machine.name)).toBeVisible()
    await expectAccessible(portal)
    await apply.click()
    await expect(portal.getByRole('dialog')).toHaveCount(0)

    await portal.getByRole('button', { name: 'Add an inbound security rule' }).click()
    await portal.getByLabel('Source addresses').fill('192.0.2.0/23, 198.51.100.1/24')
    await expect(portal.getByText(/has bits set behind its prefix length/)).toBeVisible()
    await portal.getByLabel('Source addresses').fill('192.0.2.0/24')
    await portal.getByLabel('Destination port ranges').fill('2222')
    await portal.getByLabel('Name', { exact: true }).fill('allow-e2e')
    await expectAccessible(portal)
    await portal.getByRole('button', { name: 'Review the effect' }).click()
    const sources = portal.getByRole('region', { name: 'Effect on machines' }).getByText('192.0.2.0/24')
    await expect(sources, 'as a rule, and as the packets that pass by it').toHaveCount(2)
    await expectAccessible(portal)
    await apply.click()
    await expect(rules.getByRole('button', { name: 'allow-e2e', exact: true })).toBeVisible()

    await portal.goto(`${ready.url}/r${machine.id}/network`)
    await expect(portal.getByRole('cell', { name: 'allow-e2e' })).toBeVisible()
    await portal.getByRole('link', { name, exact: true }).first().click()

    await portal.getByRole('button', { name: 'Delete rule allow-e2e' }).click()
    await portal.getByRole('dialog').getByRole('button', { name: 'Delete and apply to 1 machine' }).click()
    await expect(rules.getByRole('button', { name: 'allow-e2e', exact: true })).toBeHidden()
  } finally {
    await restore()
  }

  await portal.reload()
  await portal.getByRole('button', { name: 'Delete', exact: true }).click()
  await portal
    .getByRole('dialog')
    .getByRole('button', { name: /^Delete/ })
    .click()
  await expect(portal.getByRole('heading', { level: 1, name: 'Network security groups' })).toBeVisible()
  await expect(portal.getByRole('link', { name, exact: true })).toBeHidden()
})

test('a version of Azure’s service tags shows what it changes before it is imported', async ({ portal }) => {
  const version = Date.now()
  const prefix = `198.18.${version % 250}.0/24`
  const tag = {
    name: 'Storage.JapanEast',
    id: 'Storage.JapanEast',
    properties: {
      changeNumber: version,
      region: 'japaneast',
      systemService: 'AzureStorage',
      addressPrefixes: [prefix],
    },
  }
  const file = { changeNumber: version, cloud: 'Public', values: [tag] }
  await portal.goto(`${ready.url}/nsg?tab=tags`)
  await setLanguage(portal, 'en')
  await expect(portal.getByRole('heading', { level: 1, name: 'Service tags' })).toBeVisible()
  await portal.getByLabel('Service tag file (JSON)').setInputFiles({
    name: 'ServiceTags_Public.json',
    mimeType: 'application/json',
    buffer: Buffer.from(JSON.stringify(file)),
  })
  const dialog = portal.getByRole('dialog')
  await expect(dialog.getByText('No rule names a tag that changes.')).toBeVisible()
  await expect(dialog.getByRole('region', { name: 'Tags', exact: true }).getByText('Storage.JapanEast')).toBeVisible()
  await expectAccessible(portal)
  await dialog.getByRole('button', { name: 'Save; no machine is affected' }).click()
  await expect(dialog).toHaveCount(0)
  await expect(portal.getByText(String(version))).toBeVisible()
  await expect(
    portal.getByRole('table', { name: 'Tags that rules can name' }).getByText('japaneast', { exact: true }),
  ).toBeVisible()
})
