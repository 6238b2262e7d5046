/** Every query key starts with the resource type that the server names in its `change` events. */
export const types = {
  session: 'session',
  grant: 'grant',
  notice: 'notice',
  user: 'user',
  group: 'group',
  servicePrincipal: 'serviceprincipal',
  /** What the server's change feed calls them. */
  policy: 'conditionalaccesspolicy',
  namedLocation: 'namedlocation',
  signIn: 'signin',
  machine: 'microsoft.compute/virtualmachines',
  machineRow: 'sekisho.fleet/machines',
  /** What the server's change feed calls it; it is no resource. */
  machineEvent: 'event',
  enrolmentToken: 'sekisho.fleet/enrolmenttokens',
  resourceGroup: 'microsoft.resources/resourcegroups',
  nsg: 'microsoft.network/networksecuritygroups',
  nic: 'microsoft.network/networkinterfaces',
  vnet: 'microsoft.network/virtualnetworks',
  asg: 'microsoft.network/applicationsecuritygroups',
  effectiveRules: 'effectiverules',
  roleDefinition: 'microsoft.authorization/roledefinitions',
  roleAssignment: 'microsoft.authorization/roleassignments',
  eligibility: 'microsoft.authorization/roleeligibilityschedules',
  activation: 'microsoft.authorization/roleassignmentschedules',
  roleRequest: 'microsoft.authorization/roleassignmentschedulerequests',
  roleSettings: 'microsoft.authorization/rolemanagementpolicies',
  /** Policies of just-in-time access, which live in locations. */
  jit: 'microsoft.security/locations',
  activity: 'microsoft.insights/eventtypes',
  log: 'sekisho.audit/logs',
} as const
