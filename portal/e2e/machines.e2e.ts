import { spawnSync } from 'node:child_process'
import { expect } from '@playwright/test'
import { expectAccessible, test } from './fixtures.ts'
import { ready } from './ready.ts'
import { setLanguage } from './signIn.ts'

test('every connected machine is in the grid, and the filter finds one', async ({ portal }) => {
  await portal.goto(`${ready.url}/machines`)
  await setLanguage(portal, 'en')
  const grid = portal.getByRole('grid', { name: 'Machines' })
  for (const machine of ready.machines)
    await expect(grid.getByRole('link', { name: machine.name, exact: true })).toBeVisible()

  const [first, second] = ready.machines
  if (!first || !second) throw new Error('the demo has fewer than two machines')
  await portal.getByRole('searchbox', { name: /^Filter by name/ }).fill(first.name)
  await expect(grid.getByRole('link', { name: second.name, exact: true })).toBeHidden()
  await expect.poll(() => new URL(portal.url()).searchParams.get('q'), 'the URL follows').toBe(first.name)
  await expectAccessible(portal)

  await grid.focus()
  await portal.keyboard.press('Enter')
  await expect(portal.getByRole('heading', { level: 1, name: first.name })).toBeVisible()
})

test('a machine tells what it is and what its rules are', async ({ portal }) => {
  const [machine] = ready.machines
  if (!machine) throw new Error('the demo has no machine')
  await portal.goto(`${ready.url}/r${machine.id}`)
  await setLanguage(portal, 'en')
  await expect(portal.getByText('Operating system')).toBeVisible()
  await expectAccessible(portal)

  const sections = portal.getByRole('navigation', { name: 'Sections' })
  await sections.getByRole('link', { name: 'Networking' }).click()
  await expect(portal.getByText(machine.address).first()).toBeVisible()
  await expect(portal.getByRole('heading', { name: 'Effective security rules' })).toBeVisible()
  await expectAccessible(portal)

  await sections.getByRole('link', { name: 'Facts' }).click()
  await portal.getByRole('link', { name: /^Users/ }).click()
  await expect(portal.getByRole('cell', { name: 'root', exact: true })).toBeVisible()
  await expectAccessible(portal)
})

test("a machine's timeline tells what happened, and can be narrowed", async ({ portal }) => {
  const [machine] = ready.machines
  if (!machine) throw new Error('the demo has no machine')
  await portal.goto(`${ready.url}/r${machine.id}/timeline`)
  await setLanguage(portal, 'en')
  const timeline = portal.getByRole('list', { name: 'Timeline' })
  await expect(timeline.getByText('Machine joined', { exact: true })).toBeVisible()
  await expect(timeline.getByText('Rules applied', { exact: true }).first()).toBeVisible()
  await expectAccessible(portal)

  await portal.getByRole('button', { name: /Kind/ }).click()
  await portal.getByRole('option', { name: 'Machine joined', exact: true }).click()
  await expect(timeline.getByText('Rules applied', { exact: true })).toHaveCount(0)
  await expect(timeline.getByText('Machine joined', { exact: true })).toBeVisible()
  expect(new URL(portal.url()).searchParams.get('kind')).toBe('machine.joined')

  await setLanguage(portal, 'ja')
  await expect(
    portal.getByRole('list', { name: 'タイムライン' }).getByText('マシンが参加', { exact: true }),
  ).toBeVisible()
})

test('a pasted resource id opens from the palette', async ({ portal }) => {
  const [machine] = ready.machines
  if (!machine) throw new Error('the demo has no machine')
  await portal.goto(ready.url)
  await setLanguage(portal, 'en')
  await expect(portal.getByRole('heading', { level: 1, name: 'Overview' })).toBeVisible()
  await portal.keyboard.press('Control+k')
  const palette = portal.getByRole('dialog', { name: 'Command palette' })
  await palette.getByRole('searchbox').fill(machine.id)
  await palette.getByRole('menuitem', { name: `Open ${machine.name}` }).click()
  await expect(portal.getByRole('heading', { level: 1, name: machine.name })).toBeVisible()
})

test('connecting a machine shows a command with a token that is shown once', async ({ portal }) => {
  await portal.goto(`${ready.url}/machines?connect=true`)
  await setLanguage(portal, 'en')
  const name = `e2e-${Date.now()}`
  await portal.getByLabel('Name of the token').fill(name)
  await portal.getByRole('button', { name: 'Review the effect' }).click()
  await expect(portal.getByText('1 machine may join with it within 1 hour.')).toBeVisible()
  await expectAccessible(portal)
  await portal.getByRole('button', { name: 'Create the token' }).click()
  await expect(portal.getByText('sekisho-agent join')).toBeVisible()
  await portal.getByRole('button', { name: 'Done' }).click()

  await portal.goto(`${ready.url}/enrolment`)
  await portal.getByRole('button', { name: `Revoke ${name}` }).click()
  await portal.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click()
  await expect(portal.getByRole('cell', { name, exact: true })).toBeHidden()
})

test('the flows of a machine are logged, seen, drawn on the map, and no longer logged', async ({ portal }) => {
  test.setTimeout(120_000)
  const [machine] = ready.machines
  if (!machine) throw new Error('the demo has no machine')
  await portal.goto(`${ready.url}/r${machine.id}/traffic`)
  await setLanguage(portal, 'en')
  const region = portal.getByRole('region', { name: 'Flow logs' })
  await expect(region).toBeVisible()
  const prepare = region.getByRole('button', { name: 'Set up Network Watcher' })
  const turnOn = region.getByRole('button', { name: /^Log flows/ })
  const dialog = portal.getByRole('dialog')
  await expect(prepare.or(turnOn)).toBeVisible()
  if (await prepare.isVisible()) {
    await prepare.click()
    await dialog.getByRole('button', { name: 'Set up Network Watcher' }).click()
    await expect(dialog).toHaveCount(0)
  }
  await turnOn.click()
  await dialog.getByRole('button', { name: /^Log flows/ }).click()
  await expect(dialog).toHaveCount(0)
  await expect(region.getByText('On', { exact: true })).toBeVisible()
  const other = ready.machines[1]?.address ?? ''
  await expect(async () => {
    // Also what nobody answers is a flow.
    const talk = ['netns', 'exec', machine.netns, 'timeout', '1', 'bash', '-c', `: > /dev/tcp/${other}/9`]
    spawnSync('ip', talk, { stdio: 'ignore' })
    await portal.reload()
    await expect(portal.getByRole('table', { name: 'Newest records' })).toBeVisible({ timeout: 2000 })
  }).toPass({ timeout: 60_000 })
  await expect(portal.getByRole('list', { name: 'Over time' })).toBeVisible()
  await expect(portal.getByRole('table', { name: 'By process' })).toBeVisible()
  await expectAccessible(portal)

  // On the map stand groups; an edge opens by the keyboard, and a group into its machines.
  await portal.goto(`${ready.url}/flow-map`)
  const map = portal.getByRole('group', { name: 'Who talks with whom' })
  const edges = map.getByRole('button', { name: /allowed, .* denied$/ })
  const drawn = map.locator('text', { hasText: new RegExp(`^${machine.name}$`) })
  await expect(edges.first()).toBeVisible()
  await expect(drawn).toHaveCount(0)
  await expectAccessible(portal)
  await edges.first().focus()
  await portal.keyboard.press('Enter')
  await expect(dialog.getByRole('table', { name: 'By rule' })).toBeVisible()
  await expect(dialog.getByRole('table', { name: 'Newest records' })).toBeVisible()
  await expectAccessible(portal)
  await portal.keyboard.press('Escape')
  await expect(dialog).toHaveCount(0)
  await map
    .getByRole('button', { name: /^Show the machines of/ })
    .first()
    .click()
  await expect(drawn.first()).toBeVisible()
  await portal.getByRole('button', { name: 'Show the group again' }).click()
  await expect(drawn).toHaveCount(0)
  const table = portal.getByRole('table', { name: 'Connections' })
  await table
    .getByRole('button', { name: /^Show rules and flows/ })
    .first()
    .click()
  await expect(dialog.getByRole('table', { name: 'By port' })).toBeVisible()
  await portal.keyboard.press('Escape')

  await portal.goto(`${ready.url}/r${machine.id}/traffic`)
  await region.getByRole('button', { name: /^Stop logging/ }).click()
  await dialog.getByRole('button', { name: /^Stop logging/ }).click()
  await expect(region.getByText('Off', { exact: true })).toBeVisible()
})
