import { readFileSync } from 'node:fs'

/** What the runner tells about the server it started. */
export type Ready = {
  url: string
  ca: string
  /** The program `sekisho`. */
  command: string
  signInLink: string
  tenantId: string
  subscriptionId: string
  resourceGroup: string
  servicePrincipal: { appId: string; password: string }
  machines: { name: string; id: string; nicId: string; address: string; netns: string }[]
  /** The simulated machines, when the server has those. */
  fleet?: FleetMachine[]
}

/** What the list must show of a simulated machine. */
export type FleetMachine = {
  name: string
  resourceGroup: string
  os: string
  osVersion: string
  osPrettyName: string
  kernel: string
  addresses: string[]
  tags: Record<string, string>
}

function required(name: string) {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set; the tests are started by \`cargo xtask test\``)
  return value
}

export const ready = JSON.parse(readFileSync(required('SEKISHO_READY'), 'utf8')) as Ready
/** Home and profile of a browser that trusts the server's CA. */
export const profile = required('SEKISHO_PROFILE')
