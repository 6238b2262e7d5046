/**
 * The server's answers by short names: all are made from the server's own OpenAPI document (schema.d.ts, generated).
 * What is narrowed here is what Azure's shapes leave open, because clients may send them without it, and what the
 * server always answers.
 */
import type { components } from './schema.d.ts'

/** The named fields of a schema: that further ones may be there is no reason to take any name for one. */
type Named<T> = T extends (infer Item)[]
  ? Named<Item>[]
  : T extends object
    ? {
        [Key in keyof T as string extends Key ? (unknown extends T[Key] ? never : Key) : Key]: Named<T[Key]>
      }
    : T
type Schema<Name extends keyof components['schemas']> = Named<components['schemas'][Name]>
/** Some fields of a type, known better. */
type Narrowed<T, Known> = Omit<T, keyof Known> & Known

export type List<T> = { value: T[]; nextLink?: string }
export type ErrorResponse = Schema<'ErrorResponse'>
export type ErrorDetail = ErrorResponse['error']

// === sign-in ===

export type AuthState = Schema<'AuthState'>
export type Session = Schema<'Session'>
export type SetupLink = Schema<'SetupLink'>
export type SetupDone = Schema<'SetupDone'>
export type PasswordSetup = Schema<'PasswordSetup'>
export type PasswordChanged = Schema<'PasswordChanged'>
export type SessionRow = Schema<'SessionRow'>
export type GrantRow = Schema<'GrantRow'>
export type AuthorizationRequest = Schema<'AuthorizationRequest'>
export type AuthorizationAnswer = Narrowed<Schema<'AuthorizationAnswer'>, { fields?: Record<string, string> | null }>
export type DeviceRequest = Schema<'DeviceRequest'>
export type Credential = Schema<'Credential'>
export type Notice = Schema<'Notice'>
export type AccessPassOpened = Schema<'AccessPassOpened'>
export type StepUpApproval = Schema<'StepUpApproval'>

// === directory ===

export type User = Schema<'User'>
export type Group = Schema<'Group'>
export type Member = Schema<'DirectoryObject'>
export type ServicePrincipal = Schema<'ServicePrincipal'>
export type Application = Schema<'Application'>
export type PasswordCredential = Schema<'PasswordCredential'>
export type Invitation = Schema<'Invitation'>
export type LiveSession = Schema<'LiveSession'>
export type RuleAnalysis = Schema<'RuleAnalysis'>
export type GroupHits = Schema<'GroupHits'>
export type RuleFinding = Schema<'RuleFinding'>
export type TrafficEffect = Schema<'TrafficEffect'>
type AnyFlowLog = Schema<'Microsoft.Network.networkWatchers.flowLogs'>
export type FlowLog = Narrowed<AnyFlowLog, { id: string; name: string }>
export type TrafficView = Schema<'TrafficView'>
export type TrafficAmount = TrafficView['total']
export type TrafficFlow = TrafficView['flows'][number]
export type FlowMap = Schema<'FlowMap'>
export type FlowNode = FlowMap['nodes'][number]
export type FlowEdge = FlowMap['edges'][number]
export type FlowEdgeView = Schema<'FlowEdgeView'>
export type RiskyUser = Schema<'RiskyUser'>
export type AccessPass = Schema<'TemporaryAccessPassAuthenticationMethod'>

// === conditional access ===

/** As it is written: what is left out is what the server takes for it. */
type Unfinished<T> = T extends (infer Item)[]
  ? Item[]
  : T extends object
    ? { [Key in keyof T]?: Unfinished<T[Key]> }
    : T
export type Policy = Unfinished<Schema<'ConditionalAccessPolicy'>>
export type NamedLocation = Narrowed<
  Unfinished<Schema<'NamedLocation'>>,
  { '@odata.type': string; displayName: string }
>
export type SignInEntry = Schema<'SignIn'>
export type Backtest = Schema<'Backtest'>
export type Analysis = Schema<'WhatIfAnalysisResult'>

// === fleet ===

export type MachineStatus = Schema<'Presence'>
export type Duplicate = Schema<'Duplicate'>
export type RekeyedMachine = Schema<'RekeyedMachine'>
export type NetworkState = Schema<'ConvergenceState'>
export type NetworkStatus = Schema<'Convergence'>
export type Machine = Schema<'MachineRow'>
export type Socket = Schema<'Socket'>
type AnyMachineEvent = Schema<'MachineEvent'>
export type MachineEvent = Narrowed<
  AnyMachineEvent,
  { properties: Narrowed<AnyMachineEvent['properties'], { data: Record<string, unknown> }> }
>
export type Capability = Narrowed<Schema<'Capability'>, { tier: 'full' | 'partial' | 'none' }>
export type Facts = Narrowed<Schema<'Facts'>, { capabilities: Record<string, Capability> }>
type AnyVirtualMachine = Schema<'Microsoft.Compute.virtualMachines'>
export type VirtualMachine = Narrowed<
  AnyVirtualMachine,
  {
    properties: Narrowed<
      AnyVirtualMachine['properties'],
      { sekisho: Narrowed<Schema<'SekishoMachine'>, { facts?: Partial<Facts> }> }
    >
  }
>
export type EnrolmentToken = Schema<'Sekisho.Fleet.enrolmentTokens'>
export type ResourceGroup = Schema<'Microsoft.Resources.resourceGroups'>

// === just-in-time access ===

export type JitState = Schema<'JitRequestState'>
export type JitRequest = Schema<'JitNetworkAccessRequest'>
type AnyJitPolicy = Schema<'Microsoft.Security.locations.jitNetworkAccessPolicies'>
export type JitPolicy = Narrowed<
  AnyJitPolicy,
  {
    location: string
    properties: Narrowed<
      AnyJitPolicy['properties'],
      {
        /** What came from another installation has none of what is our own. */
        requests: (Omit<JitRequest, 'sekisho'> & Partial<JitRequest>)[]
        sekisho?: Partial<
          Omit<Schema<'JitPolicySettings'>, 'sudo' | 'account' | 'login'> & {
            login: Schema<'JitLoginOffer'>
            sudo: Partial<Schema<'JitSudoOffer'>> & Pick<Schema<'JitSudoOffer'>, 'maxRequestAccessDuration'>
            account: Partial<Schema<'JitAccountOffer'>> & Pick<Schema<'JitAccountOffer'>, 'maxRequestAccessDuration'>
          }
        >
      }
    >
  }
>
export type JitElevation = Schema<'JitRequestElevation'>
export type AccessEffect = Schema<'JitAccessEffect'>

// === network ===

export type Access = Schema<'Access'>
export type Direction = Schema<'Direction'>
export type Protocol = Schema<'Protocol'>
export type Ref = Schema<'Ref'>
export type SecurityRuleProperties = Narrowed<
  Schema<'SecurityRulePropertiesFormat'>,
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
export type InvariantProperties = Narrowed<
  Schema<'NetworkInvariantProperties'>,
  {
    must: Access
    protocol: string
    sourceApplicationSecurityGroups?: Ref[]
    destinationApplicationSecurityGroups?: Ref[]
    sourceMachineTags?: Record<string, string>
    destinationMachineTags?: Record<string, string>
  }
>
export type Invariant = { id: string; name: string; etag?: string; properties: InvariantProperties }
export type Simulation = Schema<'Simulation'>
export type InvariantCheck = Schema<'InvariantCheck'>
export type ServiceTag = Schema<'ServiceTagDetail'>
export type NetworkManager = { id: string; name: string }
/** A security-admin rule in force, as Azure shows one: the specification leaves its shape to the kind. */
export type ActiveAdminRule = {
  id: string
  name: string
  region: string
  ruleCollectionAppliesToGroups: { networkGroupId: string }[]
  properties: Narrowed<
    Schema<'AdminPropertiesFormat'>,
    { protocol: string; access: Access | 'AlwaysAllow'; direction: Direction; priority: number }
  >
}
/** Which version of Azure's service tags is in force, and what it changed. */
export type ServiceTagSet = Schema<'ServiceTagSet'> & { id: string; etag?: string }
export type ServiceTagSetChange = Schema<'ServiceTagSetChange'>
/** What the log keeps of a write that changed what machines let through; it stands there as a text. */
export type PolicyChange = {
  traffic: (Pick<TrafficEffect, 'direction' | 'difference'> & { interfaces: number })[]
  isAll: boolean
  brokenInvariants?: string[]
}
type AnySecurityGroup = Schema<'Microsoft.Network.networkSecurityGroups'>
export type SecurityGroup = Narrowed<
  AnySecurityGroup,
  {
    properties: Narrowed<
      AnySecurityGroup['properties'],
      { securityRules?: SecurityRule[]; defaultSecurityRules: SecurityRule[] }
    >
  }
>
export type IpConfiguration = Narrowed<
  Schema<'NetworkInterfaceIpConfiguration'>,
  {
    name: string
    properties: Narrowed<
      Schema<'NetworkInterfaceIpConfigurationProperties'>,
      { subnet?: Ref; applicationSecurityGroups?: Ref[] }
    >
  }
>
type AnyInterface = Schema<'Microsoft.Network.networkInterfaces'>
export type NetworkInterface = Narrowed<
  AnyInterface,
  {
    properties: Narrowed<
      AnyInterface['properties'],
      { networkSecurityGroup: Ref | null; ipConfigurations?: IpConfiguration[]; virtualMachine?: Ref }
    >
  }
>
export type Subnet = Narrowed<
  Schema<'Subnet'>,
  {
    id: string
    name: string
    etag?: string
    properties: Narrowed<Schema<'SubnetProperties'>, { networkSecurityGroup?: Ref | null }>
  }
>
type AnyNetwork = Schema<'Microsoft.Network.virtualNetworks'>
export type VirtualNetwork = Narrowed<
  AnyNetwork,
  { properties: Narrowed<AnyNetwork['properties'], { subnets?: Subnet[] }> }
>
export type ApplicationSecurityGroup = Schema<'Microsoft.Network.applicationSecurityGroups'>
export type EffectiveRule = Schema<'EffectiveRule'>
export type EffectiveGroup = Schema<'EffectiveGroup'>
/** What is in force at an interface, and what of Azure's platform is reached whatever that says. */
export type EffectiveGroups = { value: EffectiveGroup[]; platformExceptions: Schema<'PlatformService'>[] }
export type RuleEffect = Schema<'RuleEffect'>
export type WhatIf = Schema<'WhatIf'>

export type LentLogin = Schema<'LinkAnswer'>
export type ShareableLink = Schema<'BastionShareableLink'>
type AnyBastionHost = Schema<'Microsoft.Network.bastionHosts'>
export type BastionHost = Narrowed<
  AnyBastionHost,
  { sku?: { name?: 'Developer' | 'Basic' | 'Standard' | 'Premium' | null } | null }
>

// === authorization ===

export type PrincipalType = Exclude<Schema<'WhoCan'>['principalType'], 'Unknown'>
export type RoleDefinition = Schema<'Microsoft.Authorization.roleDefinitions'>
type AnyAssignment = Schema<'Microsoft.Authorization.roleAssignments'>
export type RoleAssignment = Narrowed<
  AnyAssignment,
  { properties: Narrowed<AnyAssignment['properties'], { principalType: PrincipalType; scope: string }> }
>
export type Explanation = Schema<'Explanation'>
export type WhoCan = Schema<'WhoCan'>
export type Operation = Schema<'ProviderOperation'>
export type ProviderOperations = Schema<'ProviderOperations'>

// === activity log ===

export type ActivityEvent = Schema<'ActivityEvent'>
export type ActivityLog = Schema<'ActivityLog'>
export type EntryProof = Schema<'EntryProof'>
