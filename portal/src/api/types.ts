/**
 * The server's answers. What ARM types hold is taken from the server's own OpenAPI document (schema.d.ts, generated);
 * the answers of routes that are no ARM types, and what only answers add, are written here.
 */
import type { components } from './schema.d.ts'

type Schema<Name extends keyof components['schemas']> = components['schemas'][Name]

/** The named fields of a schema as answers carry them: what is absent is left out and never null. */
type Answered<T> = T extends (infer Item)[]
  ? Answered<Item>[]
  : T extends object
    ? { [Key in keyof T as string extends Key ? never : Key]: Answered<Exclude<T[Key], null>> }
    : T
/** Some fields of a type, known better. */
type Narrowed<T, Known> = Omit<T, keyof Known> & Known

export type List<T> = { value: T[]; nextLink?: string }

// === sign-in ===

export type AuthState = { firstRun: boolean; version: string; product: string }
export type AuthMethod = 'passkey' | 'password' | 'totp' | 'recovery'
export type Session = {
  person: { id: string; userPrincipalName: string; displayName: string }
  sessionId: string
  tenantId: string
  subscriptions: { id: string; subscriptionId: string; displayName: string }[]
  auth: { methods: AuthMethod[]; at: string }
  idleExpiresAt: string
  absoluteExpiresAt: string
}
export type SetupLink = {
  kind: 'firstRun' | 'invite' | 'reset'
  userPrincipalName?: string
  displayName?: string
  expiresAt: string
}
export type SetupDone = { recoveryCodes: string[]; session: Session }
export type PasswordSetup = { ceremony: string; secret: string; otpauthUrl: string; qrSvg: string }
export type SessionRow = {
  id: string
  current: boolean
  createdAt: string
  lastSeenAt: string
  ipAddress: string
  userAgent: string
  methods: AuthMethod[]
  absoluteExpiresAt: string
}
export type Credential = {
  id: string
  kind: AuthMethod
  label: string
  createdAt: string
  lastUsedAt: string | null
  syncable?: boolean
  remaining?: number
}

// === directory ===

export type User = {
  id: string
  displayName: string
  userPrincipalName: string
  accountEnabled: boolean
  createdDateTime: string
  lastSignInDateTime?: string | null
  credentials?: AuthMethod[]
}
export type Group = { id: string; displayName: string; createdDateTime?: string }
export type Member = { id: string; displayName?: string; userPrincipalName?: string; '@odata.type'?: string }
export type ServicePrincipal = {
  id: string
  appId: string
  displayName: string
  accountEnabled: boolean
  createdDateTime: string
}
export type PasswordCredential = { keyId: string; displayName: string | null; endDateTime: string; hint?: string }
export type Application = { id: string; appId: string; displayName: string; passwordCredentials?: PasswordCredential[] }
export type NewSecret = { keyId: string; secretText: string; endDateTime: string }

// === fleet ===

export type MachineStatus = 'online' | 'stale' | 'offline' | 'retired'
export type NetworkState = 'applied' | 'pending' | 'failed' | 'reverted' | 'none'
export type NetworkStatus = { generation: number; applied: number; state: NetworkState; message?: string }
export type Machine = {
  id: string
  name: string
  resourceGroup: string
  location: string
  tags: Record<string, string>
  os: { name: string; version: string; prettyName: string }
  kernel: string
  addresses: string[]
  status: MachineStatus
  lastReportAt: string | null
  agentVersion: string
  cpus: number
  memoryBytes: number
  nics: number
  nsgs: string[]
  network: NetworkStatus
}
export type Socket = Schema<'Socket'>
export type Capability = Narrowed<Schema<'Capability'>, { tier: 'full' | 'partial' | 'none' }>
export type Facts = Narrowed<Schema<'Facts'>, { capabilities: Record<string, Capability> }>
export type VirtualMachine = Narrowed<
  Schema<'VirtualMachine'>,
  {
    etag?: string
    properties: Narrowed<
      Schema<'VirtualMachineProperties'>,
      {
        networkProfile?: { networkInterfaces?: { id: string; properties?: { primary?: boolean } }[] }
        sekisho?: Narrowed<
          Schema<'SekishoMachine'>,
          { status: MachineStatus; network: NetworkStatus; facts?: Partial<Facts> }
        >
      }
    >
  }
>
export type EnrolmentToken = {
  id: string
  name: string
  location?: string
  properties: Omit<Answered<Schema<'EnrolmentTokenProperties'>>, 'machineTags'> & {
    maxUses: number
    uses: number
    expiresAt: string
    machineTags?: Record<string, string>
    joinString?: string
  }
}
export type ResourceGroup = { id: string; name: string; location: string; tags?: Record<string, string> }

// === network ===

export type Access = 'Allow' | 'Deny'
export type Direction = 'Inbound' | 'Outbound'
export type Protocol = '*' | 'Tcp' | 'Udp' | 'Icmp' | 'Esp' | 'Ah'
export type Ref = { id: string }
export type SecurityRuleProperties = Narrowed<
  Answered<Schema<'SecurityRulePropertiesFormat'>>,
  {
    protocol: string
    access: Access
    priority: number
    direction: Direction
    sourceApplicationSecurityGroups?: Ref[]
    destinationApplicationSecurityGroups?: Ref[]
  }
>
export type SecurityRule = { id: string; name: string; etag?: string; properties: SecurityRuleProperties }
export type SecurityGroup = {
  id: string
  name: string
  location: string
  etag?: string
  tags?: Record<string, string>
  properties: Narrowed<
    Answered<Schema<'NetworkSecurityGroupProperties'>>,
    {
      securityRules?: SecurityRule[]
      defaultSecurityRules?: SecurityRule[]
      networkInterfaces?: Ref[]
      subnets?: Ref[]
    }
  >
}
export type IpConfiguration = {
  name: string
  properties: Narrowed<
    Answered<Schema<'NetworkInterfaceIpConfigurationProperties'>>,
    { subnet?: Ref; applicationSecurityGroups?: Ref[] }
  >
}
export type NetworkInterface = {
  id: string
  name: string
  location: string
  etag?: string
  properties: Narrowed<
    Answered<Schema<'NetworkInterfaceProperties'>>,
    { networkSecurityGroup?: Ref | null; ipConfigurations?: IpConfiguration[]; virtualMachine?: Ref }
  >
}
export type Subnet = {
  id: string
  name: string
  etag?: string
  properties: Narrowed<Answered<Schema<'SubnetProperties'>>, { networkSecurityGroup?: Ref | null }>
}
export type VirtualNetwork = {
  id: string
  name: string
  location: string
  properties: Narrowed<Answered<Schema<'VirtualNetworkProperties'>>, { subnets?: Subnet[] }>
}
export type ApplicationSecurityGroup = { id: string; name: string; location: string }
export type EffectiveRule = {
  name: string
  protocol: string
  sourcePortRange?: string
  sourcePortRanges?: string[]
  destinationPortRange?: string
  destinationPortRanges?: string[]
  sourceAddressPrefix?: string
  sourceAddressPrefixes?: string[]
  destinationAddressPrefix?: string
  destinationAddressPrefixes?: string[]
  expandedSourceAddressPrefix?: string[]
  expandedDestinationAddressPrefix?: string[]
  access: Access
  priority: number
  direction: Direction
}
export type EffectiveGroup = {
  networkSecurityGroup: Ref
  association: { subnet?: Ref; networkInterface?: Ref }
  effectiveSecurityRules: EffectiveRule[]
}
export type RuleEffect = {
  kind: 'added' | 'removed'
  interface: string
  direction: Direction
  stage: 'subnet' | 'nic'
  rule: {
    name: string
    priority: number
    access: Access
    protocol: string
    source: string[]
    destination: string[]
    sourcePorts: string[]
    destinationPorts: string[]
  }
}
export type WhatIf = {
  changes: {
    resourceId: string
    changeType: 'Create' | 'Modify' | 'Delete' | 'NoChange'
    before: unknown
    after: unknown
  }[]
  machines: { id: string; name: string; online: boolean; changes: RuleEffect[] }[]
}

// === authorization ===

export type PrincipalType = 'User' | 'Group' | 'ServicePrincipal'
export type RoleDefinition = {
  id: string
  name: string
  properties: Omit<Answered<Schema<'RoleDefinitionProperties'>>, 'description' | 'assignableScopes' | 'permissions'> & {
    description?: string
    assignableScopes?: string[]
    permissions: (Partial<Schema<'Permission'>> & Pick<Schema<'Permission'>, 'actions' | 'notActions'>)[]
  }
}
export type RoleAssignment = {
  id: string
  name: string
  properties: Narrowed<
    Answered<Schema<'AssignmentProperties'>>,
    { principalType: PrincipalType; scope: string; createdOn?: string; createdBy?: string }
  >
}
export type Explanation = {
  allowed: boolean
  reason: 'assignment' | 'deny' | 'none'
  assignment?: { id: string; roleName: string; scope: string; principalId: string; via?: string }
  deny?: { id?: string; scope?: string; [key: string]: unknown }
  message: string
}
export type WhoCan = {
  principalId: string
  principalType: PrincipalType
  displayName: string
  assignmentId: string
  roleName: string
  scope: string
  via?: string
}
export type Operation = { name: string; displayName?: string; isDataAction?: boolean }
export type ProviderOperations = {
  name: string
  operations?: Operation[]
  resourceTypes?: { name: string; operations: Operation[] }[]
}

// === activity log ===

export type ActivityEvent = {
  eventDataId: string
  eventTimestamp: string
  operationName: { value: string; localizedValue?: string }
  status: { value: 'Succeeded' | 'Failed' | 'Started' | (string & {}) }
  subStatus?: { value: string }
  caller: string
  claims?: Record<string, string>
  authorization?: { action: string; scope: string; role?: string }
  resourceId: string
  resourceGroupName?: string
  correlationId: string
  httpRequest?: { clientIpAddress?: string; method?: string }
  properties?: { statusCode?: string; sequence?: number | string; hash?: string; [key: string]: unknown }
}
