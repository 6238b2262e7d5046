"""The official examples of every type that the server serves, and the eight cases that hold for each type.

Generated from the contract data beside the checkout (`shared/arm/index.json`). What departs from Azure stands in the
tables below, each line with its reason.
"""

import copy
import json
import re
import uuid
from types import SimpleNamespace

import pytest

import operations
from support import (COMPUTE, FLEET, NETWORK, READER, RESOURCES, ROLES, Api, Ready, error_of, join_machine, poll, require_shared,
                     shared_arm, token_of)

ARM = shared_arm()

# Operations on no registered type of their own.
BARE = {"Subscriptions_ListLocations", "Providers_List", "Providers_Get", "Tags_CreateOrUpdateAtScope", "Tags_GetAtScope"}

# Examples that the server answers otherwise: status, code, reason.
REFUSED = {
    "VirtualMachines_CreateOrUpdate": (400, "OperationNotAllowed", "machines are made by joining, a client cannot make one"),
    "VirtualMachines_Start": (405, "MethodNotAllowed", "power is the hypervisor's, not an agent's"),
    "VirtualMachines_PowerOff": (405, "MethodNotAllowed", "as above"),
    "VirtualMachines_Restart": (405, "MethodNotAllowed", "as above"),
    "VirtualMachines_Deallocate": (405, "MethodNotAllowed", "as above"),
    "VirtualMachines_AssessPatches": (405, "MethodNotAllowed", "patching is not ours yet"),
    "VirtualMachines_InstallPatches": (405, "MethodNotAllowed", "patching is not ours yet"),
    "VirtualMachines_RunCommand": (405, "MethodNotAllowed", "commands are not ours yet"),
    "PublicIPAddresses_CreateOrUpdate": (405, "MethodNotAllowed", "addresses are the machines', none is handed out"),
    "PublicIPAddresses_Get": (404, "ResourceNotFound", "as above: the list is there for `az vm list-ip-addresses`, and empty"),
    "NetworkWatchers_CheckConnectivity": (405, "MethodNotAllowed", "an agent sends no packets for others yet"),
    "ResourceGroups_ExportTemplate": (405, "MethodNotAllowed", "templates are not ours yet"),
}

# Keys that may be missing wherever they stand (contract 5), with what they are.
OPTIONAL = {
    "etag": "not every type shows it", "systemData": "", "resourceGuid": "", "nextLink": "only when there is more", "@nextLink": "as above",
    "createdTime": "", "changedTime": "", "managedBy": "", "zones": "no availability zones",
    "availabilitySet": "no such feature", "proximityPlacementGroup": "no such feature", "applicationProfile": "no such feature",
    "userData": "no such feature", "diagnosticsProfile": "no such feature", "extensionsTimeBudget": "no such feature",
    "windowsConfiguration": "Linux only", "adminUsername": "machines are not provisioned by us", "secrets": "as above",
    "managedDisk": "no such feature", "diskSizeGB": "no such feature", "caching": "no such feature", "resources": "no such feature",
    "virtualMachineScaleSet": "no such feature", "host": "no such feature", "securityProfile": "no such feature",
    "publicIPAddress": "no such feature", "networkManager": "no such feature", "vnetEncryptionSupported": "no such feature",
    "locationMappings": "no such feature", "defaultApiVersion": "", "plan": "no such feature",
    "additionalCapabilities": "no such feature", "billingProfile": "no such feature",
    "email": "people have one, programs have none",
    "availabilityZoneMappings": "no availability zones", "disableTcpStateTracking": "no such feature",
    "dscpConfiguration": "no such feature", "internalDomainNameSuffix": "no such feature",
    "evictionPolicy": "no such feature", "userAssignedIdentities": "no such feature", "identity": "no such feature",
}

# Keys that may be missing in one example.
OPTIONAL_AT = {
    ("FlowLogs_CreateOrUpdate", "identity.userAssignedIdentities./subscriptions/subid/resourceGroups/rg1/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id1.clientId"): "identities are none of ours to make",
    ("FlowLogs_CreateOrUpdate", "identity.userAssignedIdentities./subscriptions/subid/resourceGroups/rg1/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id1.principalId"): "identities are none of ours to make",
    ("RoleAssignmentScheduleInstances_ListForScope", "value.0.properties.originRoleAssignmentId"): "what is active for a time is no role assignment",
    ("NetworkWatchers_CreateOrUpdate", "tags"): "there only when there are some",
    ("NetworkWatchers_ListAll", "value.0.tags"): "as above",
    ("NetworkWatchers_GetNextHop", "nextHopIpAddress"): "what is on link has none",
    ("NetworkWatchers_GetVMSecurityRules", "networkInterfaces.0.securityRuleAssociations.subnetAssociation"): "the demo's group is at the interface",
    ("VirtualNetworks_Get", "properties.subnets.0.properties.ipConfigurations"): "there only while something is in the subnet",
    ("NetworkInterfaces_ListEffectiveNetworkSecurityGroups", "value.0.association.subnet"): "one association per entry, as Azure does",
    ("NetworkInterfaces_ListEffectiveNetworkSecurityGroups", "value.0.association.networkInterface"): "as above",
    ("ActivityLogs_List", "value.0.httpRequest.clientRequestId"): "clients' ids are not kept",
    ("Subscriptions_ListLocations", "value.0.subscriptionId"): "",
    ("NetworkInterfaces_CreateOrUpdate", "properties.ipConfigurations.0.properties.primary"): "an interface that no machine reports",
    ("NetworkInterfaces_CreateOrUpdate", "properties.ipConfigurations.0.properties.privateIPAddress"): "addresses are the machine's",
    ("NetworkInterfaces_CreateOrUpdate", "properties.ipConfigurations.0.properties.privateIPAllocationMethod"): "as above",
    ("NetworkInterfaces_CreateOrUpdate", "properties.ipConfigurations.0.properties.privateIPAddressVersion"): "as above",
}

# Arrays that may be empty although the example's is not.
EMPTY = {
    "dataDisks": "disks are not provisioned by us", "networkInterfaces": "a machine may have none",
    "dataActions": "no operation of ours is a data action", "pairedRegion": "locations have no pair",
}

# Request values that do not come back as sent.
NOT_KEPT = {
    "RoleEligibilityScheduleRequests_Create": {"properties.roleDefinitionId": "shown as from the subscription"},
    "RoleAssignmentScheduleRequests_Create": {"properties.roleDefinitionId": "as above"},
    "VirtualMachines_Update": {"properties.hardwareProfile": "the machine says what it has",
                               "properties.storageProfile": "as above", "properties.osProfile": "as above",
                               "properties.networkProfile": "as above"},
    "RoleAssignments_Create": {"properties.roleDefinitionId": "shown by its full id"},
    "JitNetworkAccessPolicies_CreateOrUpdate": {"properties.requests": "requests are made by asking"},
}

# Operations whose 202 is their whole answer: nothing is to be waited for.
ANSWERED = {"JitNetworkAccessPolicies_Initiate"}

# Operations about roles that are taken for a time.
PIM = ("RoleEligibility", "RoleAssignmentSchedule", "RoleManagementPolic", "EligibleChild")
PIM_VERSION = "2020-10-01"
JIT = "2020-01-01"

# Objects whose keys are data.
BAGS = {"tags", "claims", "additionalProperties"}


def rows():
    require_shared(ARM / "index.json")
    return json.loads((ARM / "index.json").read_text())


def type_of(row):
    """The resource type a row is about, and whether its last word is an action."""
    path = row["path"].rstrip("/")
    if "/providers/" not in path:
        return ("Microsoft.Resources/resourceGroups", path.rsplit("/", 1)[1] == "exportTemplate")
    namespace, *rest = path.rsplit("/providers/", 1)[1].split("/")
    names, action = rest[::2], row["method"] == "POST" and len(rest) % 2 == 1
    if row["operationId"] == "ActivityLogs_List":
        return ("Microsoft.Insights/eventtypes/values", False)
    return ("/".join([namespace, *(names[:-1] if action else names)]), action)


_SERVED = None


def served():
    """The types in the server's own description."""
    global _SERVED
    if _SERVED is None:
        ready = Ready.load()
        found = Api(ready, token_of(ready)).must("GET", "/providers", RESOURCES)["value"]
        _SERVED = {f"{p['namespace']}/{t['resourceType']}".lower() for p in found for t in p["resourceTypes"]}
    return _SERVED


def pytest_generate_tests(metafunc):
    if "row" in metafunc.fixturenames:
        if not (ARM / "index.json").exists():
            metafunc.parametrize("row", [None], ids=["shared-data-is-missing"])
            return
        # What does not lie under /subscriptions or /providers is no ARM path.
        arm = [r for r in rows() if r["core"] and r["path"].startswith(("/subscriptions", "/providers", "/{scope}"))]
        chosen = [r for r in arm if (r["operationId"] in BARE or type_of(r)[0].lower() in served())]
        metafunc.parametrize("row", chosen, ids=[r["operationId"] for r in chosen])


def test_the_contract_data_is_there():
    require_shared(ARM / "index.json")
    require_shared(ARM / "operations.jsonl")


def test_the_table_behind_the_coverage_report_is_that_of_the_contract_data():
    require_shared(ARM / "operations.jsonl")
    assert operations.TABLE.read_text() == operations.table(), "run `python tests/az/operations.py`"


def test_the_types_that_the_first_release_promises_are_served():
    promised = {"Microsoft.Resources/resourceGroups", "Microsoft.Compute/virtualMachines",
                "Microsoft.Network/networkSecurityGroups", "Microsoft.Network/networkSecurityGroups/securityRules",
                "Microsoft.Network/networkSecurityGroups/defaultSecurityRules",
                "Microsoft.Network/applicationSecurityGroups", "Microsoft.Network/virtualNetworks",
                "Microsoft.Network/virtualNetworks/subnets", "Microsoft.Network/networkInterfaces",
                "Microsoft.Authorization/roleDefinitions", "Microsoft.Authorization/roleAssignments",
                "Microsoft.Authorization/denyAssignments", "Microsoft.Insights/eventcategories",
                "Microsoft.Insights/eventtypes/values", "Sekisho.Fleet/machines", "Sekisho.Fleet/enrolmentTokens",
                "Sekisho.Network/serviceTags", "Sekisho.Network/invariants", "Microsoft.Authorization/locks",
                "Microsoft.Management/managementGroups", "Microsoft.Management/managementGroups/subscriptions"}
    assert {t.lower() for t in promised} <= served()


class World:
    """What stands in for the examples' placeholders, and what has to be there before an example."""

    def __init__(self, ready, api, group, own):
        self.ready, self.api, self.group = ready, api, group
        self.made = []
        self.own = own
        # The name of an eligibility, and what has to be ended by a request.
        self.eligible = str(uuid.uuid4())
        self.ending = []

    def bind(self, value):
        if isinstance(value, dict):
            return {k: "home" if k.lower() == "location" and isinstance(v, str) else self.bind(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self.bind(v) for v in value]
        if not isinstance(value, str):
            return value
        value = re.sub(r"(?i)^/subscriptions/[^/]+/resourceGroups/[^/]+", self.group, value)
        value = re.sub(r"(?i)^/subscriptions/(?!%s)[^/]+" % self.ready.subscription_id, self.ready.subscription, value)
        return value.replace("{", "").replace("}", "") if value.startswith("/") else value

    def put(self, path, version, body):
        self.made.append((path, version))
        return self.api.must("PUT", path, version, body)

    def seed_references(self, body):
        """Makes what a body refers to, as far as it is of a type we serve."""
        def ids(value):
            if isinstance(value, dict):
                for v in value.values():
                    yield from ids(v)
            elif isinstance(value, list):
                for v in value:
                    yield from ids(v)
            elif isinstance(value, str) and value.lower().startswith(self.group.lower()):
                yield value

        for found in sorted(set(ids(body))):
            parts = found[len(self.group):].split("/providers/Microsoft.Network/")
            if len(parts) != 2:
                continue
            words = parts[1].split("/")
            if words[0] == "virtualNetworks" and len(words) == 4:
                network = f"{self.group}/providers/Microsoft.Network/virtualNetworks/{words[1]}"
                if self.api.get(network, NETWORK).status_code == 404:
                    self.put(network, NETWORK, {"location": "home", "properties": {
                        "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
                        "subnets": [{"name": words[3], "properties": {"addressPrefix": "10.0.9.0/24"}}]}})
            elif words[0] in ("networkSecurityGroups", "applicationSecurityGroups") and len(words) == 2:
                if self.api.get(found, NETWORK).status_code == 404:
                    self.put(found, NETWORK, {"location": "home"})

    def leave(self):
        for kinds, kind, body in self.ending:
            self.api.must("PUT", f"{kinds}/role{kind}ScheduleRequests/{uuid.uuid4()}", PIM_VERSION, {
                "properties": {**body, "requestType": "AdminRemove"}})
        for path, version in reversed(self.made):
            self.api.delete(path, version)


@pytest.fixture
def world(ready, api, group, own_object_id):
    made = World(ready, api, group, own_object_id)
    yield made
    made.leave()


def parameters_of(row, example, world):
    """The values for the path's placeholders and the query."""
    given = dict(example["parameters"])
    given["subscriptionId"] = world.ready.subscription_id
    given["resourceGroupName"] = world.group.rsplit("/", 1)[1]
    for name, value in list(given.items()):
        if isinstance(value, str) and name != "scope":
            given[name] = value.replace("{", "").replace("}", "")
    given["resourceProviderNamespace"] = "Microsoft.Network"
    scopes = {
        "RoleDefinitions_List": world.ready.subscription, "RoleDefinitions_CreateOrUpdate": world.ready.subscription,
        "RoleAssignments_Create": world.group, "RoleAssignments_ListForScope": world.group,
        "DenyAssignments_ListForScope": world.group,
        "Tags_CreateOrUpdateAtScope": f"{world.group}/providers/Microsoft.Network/networkSecurityGroups/tagged",
        "Tags_GetAtScope": f"{world.group}/providers/Microsoft.Network/networkSecurityGroups/tagged",
    }
    if row["operationId"].startswith("ManagementLocks_"):
        scopes[row["operationId"]] = world.group
    if row["operationId"].startswith(PIM):
        at_group = row["operationId"].endswith("Requests_Create") or "Policies" in row["operationId"]
        scopes[row["operationId"]] = world.group if at_group else world.ready.subscription
        given.update({
            "roleEligibilityScheduleRequestName": str(uuid.uuid4()), "roleAssignmentScheduleRequestName": str(uuid.uuid4()),
            "roleManagementPolicyName": READER})
        if "$filter" in given:
            given["$filter"] = f"assignedTo('{world.own}')"
        if row["operationId"].startswith("EligibleChild"):
            given["$filter"] = "resourceType eq 'resourcegroup'"
    if row["operationId"] in scopes:
        given["scope"] = scopes[row["operationId"]].removeprefix("/")
    if row["operationId"] == "RoleDefinitions_CreateOrUpdate":
        given["roleDefinitionId"] = str(uuid.uuid4())
    if row["operationId"] == "RoleAssignments_Create":
        given["roleAssignmentName"] = str(uuid.uuid4())
    return given


def body_of(row, example, world):
    body = next((v for k, v in example["parameters"].items() if isinstance(v, dict) and v), None)
    if body is None:
        return None
    body = world.bind(copy.deepcopy(body))
    if row["operationId"] == "BastionHosts_CreateOrUpdate":
        # The example lacks the location that Azure demands, and its SKU is beside its body.
        body = {**world.bind(copy.deepcopy(example["parameters"]["parameters"])), "sku": body, "location": "home"}
    if row["operationId"] == "RoleDefinitions_CreateOrUpdate":
        # The example's body lacks the envelope and names no real operation.
        body = {"properties": {k: v for k, v in body["roleDefinition"].items() if k not in ("id", "name", "type")}}
        body["properties"]["roleName"] = f"Example {uuid.uuid4().hex[:6]}"
        body["properties"]["assignableScopes"] = [world.ready.subscription]
        body["properties"]["permissions"][0]["actions"] = ["Microsoft.Network/networkSecurityGroups/read"]
        body["properties"]["permissions"][0]["dataActions"] = []
    if row["operationId"].startswith(PIM) and "principalId" in body["properties"]:
        body["properties"] |= {"principalId": world.own, "roleDefinitionId": role_of(world, READER)}
        if "linkedRoleEligibilityScheduleId" in body["properties"]:
            body["properties"]["linkedRoleEligibilityScheduleId"] = world.eligible
    if "targetResourceId" in body:
        machine = world.ready.machine("web")
        own = {"targetResourceId": machine.id, "targetNicResourceId": machine.nicId, "localIPAddress": machine.address,
               "sourceIPAddress": machine.address}
        body |= {key: value for key, value in own.items() if key in body}
    if row["operationId"] == "RoleAssignments_Create":
        body["properties"]["roleDefinitionId"] = (
            f"{world.ready.subscription}/providers/Microsoft.Authorization/roleDefinitions/{READER}")
    return body


def role_of(world, role):
    return f"{world.ready.subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"


def seed_eligibility(world, operation):
    """Whoever asks is eligible, and programs may activate too: they have no sign-in and prove nothing anew."""
    at_group = operation.endswith("Requests_Create") or "Policies" in operation
    scope = world.group if at_group else world.ready.subscription
    kinds = f"{scope}/providers/Microsoft.Authorization"
    condition = {"condition": "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:ContainerName] "
                              "StringEqualsIgnoreCase 'foo_storage_container'", "conditionVersion": "1.0"}
    one = {"principalId": world.own, "roleDefinitionId": role_of(world, READER), **condition,
           "scheduleInfo": {"expiration": {"type": "AfterDuration", "duration": "P1D"}}}
    policy = f"{kinds}/roleManagementPolicies/{READER}"
    world.put(policy, PIM_VERSION, {"properties": {"rules": [
        {"id": "Enablement_EndUser_Assignment", "ruleType": "RoleManagementPolicyEnablementRule", "enabledRules": []},
        {"id": "Expiration_EndUser_Assignment", "ruleType": "RoleManagementPolicyExpirationRule",
         "isExpirationRequired": True, "maximumDuration": "PT8H", "boundToSignIn": False}]}})
    world.ending.append((kinds, "Eligibility", one))
    if operation == "RoleEligibilityScheduleRequests_Create":
        return
    request = f"{kinds}/roleEligibilityScheduleRequests/{world.eligible}"
    world.api.must("PUT", request, PIM_VERSION, {"properties": {**one, "requestType": "AdminAssign"}})
    if operation.startswith("RoleAssignmentScheduleInstances"):
        hours = {"expiration": {"type": "AfterDuration", "duration": "PT1H"}}
        world.api.must("PUT", f"{kinds}/roleAssignmentScheduleRequests/{uuid.uuid4()}", PIM_VERSION, {
            "properties": {**one, "scheduleInfo": hours, "requestType": "SelfActivate"}})


def seed(row, example, world, path):
    """What must be there before the example is sent."""
    kind, action = type_of(row)
    method, operation = row["method"], row["operationId"]
    if operation.startswith(PIM):
        return seed_eligibility(world, operation)
    network = f"{world.group}/providers/Microsoft.Network"
    if operation.startswith("Tags_"):
        world.put(f"{network}/networkSecurityGroups/tagged", NETWORK, {"location": "home", "tags": {"tagKey1": "a", "tagKey2": "b"}})
    elif operation.startswith("DenyAssignments_"):
        world.put(f"{world.group}/providers/Microsoft.Authorization/denyAssignments/{uuid.uuid4()}", ROLES, {"properties": {
            "denyAssignmentName": f"Example {uuid.uuid4().hex[:6]}", "description": "An example",
            "permissions": [{"actions": ["Microsoft.Compute/virtualMachines/delete"], "notActions": [], "dataActions": [],
                             "notDataActions": []}],
            "principals": [{"id": str(uuid.uuid4()), "type": "User"}],
            "excludePrincipals": [{"id": str(uuid.uuid4()), "type": "User"}], "doNotApplyToChildScopes": False}})
    elif operation.startswith("ManagementLocks_") and method != "PUT":
        lock = path if method == "DELETE" else f"{path}/listed"
        world.put(lock, "2020-05-01", {"properties": {"level": "CanNotDelete", "notes": "An example"}})
    elif operation == "RoleAssignments_ListForScope":
        world.put(f"{world.group}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}", ROLES, {"properties": {
            "roleDefinitionId": f"{world.ready.subscription}/providers/Microsoft.Authorization/roleDefinitions/{READER}",
            "principalId": str(uuid.uuid4()), "principalType": "User"}})
    elif operation == "ServiceTags_List":
        # Microsoft's file, of which the example shows what was made.
        told = copy.deepcopy(example["responses"]["200"]["body"])
        for tag in told["values"]:
            tag["properties"]["changeNumber"] = int(tag["properties"]["changeNumber"])
        world.api.must("PUT", TAG_SET, "2026-11-01", {
            "changeNumber": int(told["changeNumber"]), "cloud": told["cloud"], "values": told["values"]})
    elif kind.startswith("Microsoft.Network/"):
        if kind.endswith("/securityRules"):
            world.put(path.split("/securityRules")[0], NETWORK, {"location": "home"})
        if kind.endswith("/subnets"):
            world.put(path.split("/subnets")[0], NETWORK, {"location": "home", "properties": {
                "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}})
        response = example["responses"].get("200", {}).get("body", {})
        if method == "GET" and "value" not in response:
            body = world.bind(copy.deepcopy(response))
            for configuration in body.get("properties", {}).get("ipConfigurations", []):
                configuration["properties"].pop("publicIPAddress", None)
            world.seed_references(body)
            world.put(path, NETWORK, body)
        elif kind.endswith("/flowLogs") and method == "GET":
            target = f"{network}/networkSecurityGroups/logged"
            world.put(target, NETWORK, {"location": "home"})
            storage = f"{world.group}/providers/Microsoft.Storage/storageAccounts/kept"
            world.put(f"{path}/listed", NETWORK, {"location": "home", "properties": {
                "targetResourceId": target, "storageId": storage, "enabled": True,
                "flowAnalyticsConfiguration": {"networkWatcherFlowAnalyticsConfiguration": {
                    "enabled": False, "workspaceId": str(uuid.uuid4()), "workspaceRegion": "home",
                    "trafficAnalyticsInterval": 60}}}})
        elif method == "GET":
            world.put(f"{network}/{kind.split('/')[1]}/listed", NETWORK, {"location": "home"})
        elif method == "DELETE":
            world.put(path, NETWORK, {"location": "home", "properties": MINIMAL_PROPERTIES.get(kind, {})})
    elif kind == "Microsoft.Resources/resourceGroups" and method != "PUT":
        pass


MINIMAL_PROPERTIES = {
    "Microsoft.Network/networkSecurityGroups/securityRules": {
        "priority": 100, "access": "Allow", "direction": "Inbound", "protocol": "*", "sourceAddressPrefix": "*",
        "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "*"},
}


def differences(expected, actual, operation, path=""):
    """What an answer lacks against an example's body."""
    if expected is None:
        return []
    if isinstance(expected, bool) or isinstance(expected, str) or isinstance(expected, (int, float)):
        same = type(expected) is type(actual) or (
            isinstance(expected, (int, float)) and isinstance(actual, (int, float))
            and not isinstance(expected, bool) and not isinstance(actual, bool))
        return [] if same else [f"{path}: {expected!r} became {actual!r}"]
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            return [f"{path}: an object became {actual!r}"]
        if path.rsplit(".", 1)[-1] in BAGS:
            return []
        out = []
        for key, value in expected.items():
            at = f"{path}.{key}" if path else key
            if key not in actual:
                if key not in OPTIONAL and (operation, at) not in OPTIONAL_AT:
                    out.append(f"{at} is missing")
                continue
            out += differences(value, actual[key], operation, at)
        return out
    if not isinstance(actual, list):
        return [f"{path}: an array became {actual!r}"]
    if not expected:
        return []
    if not actual:
        return [] if path.rsplit(".", 1)[-1] in EMPTY else [f"{path}: an array became empty"]
    return min((differences(expected[0], a, operation, f"{path}.0") for a in actual), key=len)


def unkept(sent, shown, ignored, path=""):
    """The values of a request that do not come back."""
    if path in ignored:
        return []
    if isinstance(sent, dict):
        if not isinstance(shown, dict):
            return [f"{path}: not an object: {shown!r}"]
        out = []
        for key, value in sent.items():
            at = f"{path}.{key}" if path else key
            if at in ignored or key in ("id", "etag", "name", "type") and not path:
                continue
            if key not in shown:
                out.append(f"{at} did not come back")
            else:
                out += unkept(value, shown[key], ignored, at)
        return out
    if isinstance(sent, list):
        if not isinstance(shown, list) or len(shown) != len(sent):
            return [f"{path}: {sent!r} came back as {shown!r}"]
        if all(isinstance(s, dict) and "name" in s for s in sent):
            by_name = {s.get("name"): s for s in shown}
            return [e for i, s in enumerate(sent) for e in unkept(s, by_name.get(s["name"]), ignored, f"{path}.{i}")]
        return [e for i, (s, t) in enumerate(zip(sent, shown)) for e in unkept(s, t, ignored, f"{path}.{i}")]
    if isinstance(sent, str) and isinstance(shown, str) and sent.startswith("/"):
        return [] if sent.lower() == shown.lower() else [f"{path}: {sent!r} came back as {shown!r}"]
    return [] if sent == shown else [f"{path}: {sent!r} came back as {shown!r}"]


TAG_SET = "/providers/Sekisho.Network/serviceTagSets/azure"


def test_an_official_example_is_served(row, ready, api, group, world, request):
    require_shared(ARM / "index.json")
    example = json.loads((ARM / row["file"]).read_text())
    kind, action = type_of(row)
    operation = row["operationId"]
    if operation.startswith(("ManagementGroups_", "ServiceTags_")):
        request.getfixturevalue("owner_of_everything")
    if operation == "ServiceTags_List":
        # While that is still so.
        request.addfinalizer(lambda: api.must("DELETE", TAG_SET, "2026-11-01"))
    given = parameters_of(row, example, world)
    if kind == "Microsoft.Resources/resourceGroups":
        given["resourceGroupName"] = f"{world.group.rsplit('/', 1)[1]}-x"
        world.made.append((f"{ready.subscription}/resourceGroups/{given['resourceGroupName']}", RESOURCES))
        if row["method"] != "PUT":
            world.put(f"{ready.subscription}/resourceGroups/{given['resourceGroupName']}", RESOURCES, {"location": "home"})
    if kind == "Microsoft.Compute/virtualMachines" and "{vmName}" in row["path"]:
        changes = row["method"] in ("DELETE", "PATCH")
        machine = join_machine(api, group, "example") if changes else ready.machine("web").id
        if changes:
            world.made.append((machine, COMPUTE))
        if row["method"] == "PUT":
            machine = f"{group}/providers/Microsoft.Compute/virtualMachines/new"
        given["resourceGroupName"], given["vmName"] = machine.split("/")[4], machine.split("/")[-1]
    if kind == "Microsoft.Compute/virtualMachines" and operation == "VirtualMachines_List":
        given["resourceGroupName"] = ready.group_name
    if kind == "Microsoft.Network/networkWatchers/flowLogs" or (kind == "Microsoft.Network/networkWatchers" and action):
        world.put(f"{group}/providers/Microsoft.Network/networkWatchers/{given['networkWatcherName']}", NETWORK, {"location": "home"})
    if kind == "Microsoft.Security/locations/jitNetworkAccessPolicies":
        given["ascLocation"] = "home"
        world.made.append((join_machine(api, group, "vm1"), COMPUTE))
        if row["method"] != "PUT":
            ports = [{"number": n, "protocol": "*", "allowedSourceAddressPrefix": "*", "maxRequestAccessDuration": "PT3H"}
                     for n in (22, 3389)]
            machine = f"{group}/providers/Microsoft.Compute/virtualMachines/vm1"
            world.put(f"{group}/providers/Microsoft.Security/locations/home/jitNetworkAccessPolicies/default", JIT, {
                "kind": "Basic", "properties": {"virtualMachines": [{"id": machine, "ports": ports}]}})
    if kind == "Microsoft.Network/networkInterfaces" and row["method"] != "PUT":
        given["resourceGroupName"], given["networkInterfaceName"] = ready.group_name, ready.machine("web").nicId.split("/")[-1]
    path = row["path"]
    for name in re.findall(r"\{([^}]+)\}", path):
        assert name in given, f"the example has no value for {name}"
        path = path.replace("{%s}" % name, str(given[name]))
    if not (action or operation in REFUSED or operation == "NetworkInterfaces_Get"):
        seed(row, example, world, path)
    if kind == "Microsoft.Network/bastionHosts" and action and operation not in REFUSED:
        world.put(path.rsplit("/", 1)[0], NETWORK, {"location": "home", "properties": {}})
    body = body_of(row, example, world) if row["method"] in ("PUT", "PATCH", "POST") else None
    if operation == "DisconnectActiveSessions":
        body = {"sessionIds": [str(uuid.uuid4())]}
    query = {k: v for k, v in given.items() if k.startswith("$")}
    if operation == "ActivityLogs_List":
        query["$filter"] = (f"eventTimestamp ge '2020-01-21T20:00:00Z' and eventTimestamp le '2100-01-23T20:00:00Z' "
                            f"and resourceGroupName eq '{group.rsplit('/', 1)[1]}'")
    if body is not None:
        for configuration in (body.get("properties") or {}).get("ipConfigurations", []):
            configuration["properties"].pop("publicIPAddress", None)
        if row["method"] == "PUT":
            world.seed_references(body)
            world.made.append((path, row["apiVersion"]))
    answer = api.request(row["method"], path, row["apiVersion"], body, params=query)
    if operation in REFUSED:
        status, code, _ = REFUSED[operation]
        error_of(answer, status, code)
        return
    assert str(answer.status_code) in row["successCodes"], f"{answer.status_code} {answer.text}"
    if operation == "GetActiveSessions":
        # Sessions of real machines are in the tests of the program.
        assert answer.json() == {"value": []}
        return
    if answer.status_code == 202 and operation not in ANSWERED:
        assert answer.headers["location"].startswith(ready.url)
        assert int(answer.headers["retry-after"]) >= 1
        if "azure-asyncoperation" in answer.headers:
            state = api.must("GET", answer.headers["azure-asyncoperation"])
            assert state["status"] in ("InProgress", "Succeeded")
            assert {"id", "name", "startTime"} <= set(state)
        answer = api.finish(answer)
        assert answer.status_code in (200, 204), answer.text
    done = ("200", "201", *(["202"] if operation in ANSWERED else []))
    recorded = [r["body"] for s, r in example["responses"].items() if s in done and r.get("body") is not None]
    if recorded and answer.content:
        shown = answer.json()
        missing = min((differences(world.bind(r), shown, operation) for r in recorded), key=len)
        assert not missing, "\n".join([*missing, json.dumps(shown, indent=1)])
        if body is not None and row["method"] in ("PUT", "PATCH"):
            lost = unkept(body, shown, NOT_KEPT.get(operation, {}))
            assert not lost, "\n".join([*lost, json.dumps(shown, indent=1)])
            again = api.must("GET", path, row["apiVersion"])
            lost = unkept(body, again, NOT_KEPT.get(operation, {}))
            assert not lost, "\n".join(["read again:", *lost])


# A type, where it lies, the api-version and the smallest body.
CIDR = {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}}
RULE = MINIMAL_PROPERTIES["Microsoft.Network/networkSecurityGroups/securityRules"]
ROLE_BODY = {"roleName": "", "description": "", "assignableScopes": [], "permissions": [{"actions": ["*/read"]}]}
KINDS = {
    "resourceGroups": ("{subscription}/resourceGroups/{name}", RESOURCES, {"location": "home"}),
    "networkSecurityGroups": ("{group}/providers/Microsoft.Network/networkSecurityGroups/{name}", NETWORK, {"location": "home"}),
    "securityRules": ("{group}/providers/Microsoft.Network/networkSecurityGroups/parent/securityRules/{name}", NETWORK,
                      {"properties": RULE}),
    "applicationSecurityGroups": ("{group}/providers/Microsoft.Network/applicationSecurityGroups/{name}", NETWORK,
                                  {"location": "home"}),
    "virtualNetworks": ("{group}/providers/Microsoft.Network/virtualNetworks/{name}", NETWORK,
                        {"location": "home", "properties": CIDR}),
    "subnets": ("{group}/providers/Microsoft.Network/virtualNetworks/parent/subnets/{name}", NETWORK,
                {"properties": {"addressPrefix": "10.1.7.0/24"}}),
    "networkInterfaces": ("{group}/providers/Microsoft.Network/networkInterfaces/{name}", NETWORK,
                          {"location": "home", "properties": {"ipConfigurations": [{"name": "a", "properties": {"subnet": {
                              "id": "{group}/providers/Microsoft.Network/virtualNetworks/parent/subnets/first"}}}]}}),
    "serviceTags": ("{group}/providers/Sekisho.Network/serviceTags/{name}", FLEET,
                    {"location": "home", "properties": {"addressPrefixes": ["192.0.2.0/24"]}}),
    "invariants": ("{group}/providers/Sekisho.Network/invariants/{name}", FLEET,
                   {"properties": {"must": "Deny", "protocol": "Tcp", "sourceAddressPrefix": "Internet",
                                   "destinationMachineTags": {"case": "{name}"}, "destinationPortRange": "3389"}}),
    "enrolmentTokens": ("{group}/providers/Sekisho.Fleet/enrolmentTokens/{name}", FLEET,
                        {"location": "home", "properties": {}}),
    "virtualMachines": ("{group}/providers/Microsoft.Compute/virtualMachines/{name}", COMPUTE, {"location": "home"}),
    "roleDefinitions": ("{group}/providers/Microsoft.Authorization/roleDefinitions/{guid}", ROLES, {"properties": {
        "roleName": "Case {guid}", "assignableScopes": ["{group}"], "permissions": [{"actions": ["*/read"]}]}}),
    "roleAssignments": ("{group}/providers/Microsoft.Authorization/roleAssignments/{guid}", ROLES, {"properties": {
        "principalId": "{guid}", "principalType": "User",
        "roleDefinitionId": "{subscription}/providers/Microsoft.Authorization/roleDefinitions/" + READER}}),
    "denyAssignments": ("{group}/providers/Microsoft.Authorization/denyAssignments/{guid}", ROLES, {"properties": {
        "denyAssignmentName": "Case {guid}", "permissions": [{"actions": ["Microsoft.Compute/virtualMachines/delete"]}],
        "principals": [{"id": "{guid}", "type": "User"}]}}),
}
ALL = sorted(KINDS)


def filled(value, words):
    if isinstance(value, dict):
        return {k: filled(v, words) for k, v in value.items()}
    if isinstance(value, list):
        return [filled(v, words) for v in value]
    if isinstance(value, str):
        for word, text in words.items():
            value = value.replace("{%s}" % word, text)
    return value


@pytest.fixture(scope="module")
def parents(api, group):
    network = f"{group}/providers/Microsoft.Network"
    api.must("PUT", f"{network}/networkSecurityGroups/parent", NETWORK, {"location": "home"})
    api.must("PUT", f"{network}/virtualNetworks/parent", NETWORK, {"location": "home", "properties": {
        **CIDR, "subnets": [{"name": "first", "properties": {"addressPrefix": "10.1.0.0/24"}}]}})


@pytest.fixture
def thing(request, ready, api, group, parents):
    """One resource of a type, there; gone after the test."""
    path, version, body = KINDS[request.param]
    words = {"subscription": ready.subscription, "group": group, "guid": str(uuid.uuid4()),
             "name": f"n{uuid.uuid4().hex[:8]}"}
    path, body = filled(path, words), filled(body, words)
    if request.param == "virtualMachines":
        path = join_machine(api, group, words["name"])
        # What it should be is decided soon after it has joined, and shows.
        poll("something is wanted of the machine",
             lambda: api.must("GET", path, version)["properties"]["sekisho"]["network"]["generation"] > 0)
    else:
        answer = api.put(path, version, body)
        assert answer.status_code == 201, answer.text
    name = path.rsplit("/", 1)[1]
    other = str(uuid.uuid4()) if "guid" in KINDS[request.param][0] else "missing"
    yield SimpleNamespace(kind=request.param, path=path, version=version, body=body, name=name,
                          missing=path[: -len(name)] + other)
    api.delete(path, version)


def every_type(function):
    return pytest.mark.parametrize("thing", ALL, indirect=True)(function)


@every_type
def test_what_is_not_there_is_404_in_azures_words_and_deleting_it_is_204(thing, api):
    answer = api.get(thing.missing, thing.version)
    code = "ResourceGroupNotFound" if thing.kind == "resourceGroups" else "ResourceNotFound"
    error = error_of(answer, 404, code)
    assert "missing" in error["message"] or thing.missing.rsplit("/", 1)[1] in error["message"]
    answer = api.delete(thing.missing, thing.version)
    assert (answer.status_code, answer.content) == (204, b"")
    assert api.patch(thing.missing, thing.version, {"tags": {}}).status_code in (404, 405)


@every_type
def test_preconditions_hold_by_azures_table(thing, api):
    before = api.get(thing.path, thing.version).content
    for method, path, headers in [
        ("PUT", thing.path, {"if-match": '"nonsense"'}), ("PUT", thing.path, {"if-none-match": "*"}),
        ("PUT", thing.missing, {"if-match": "*"}), ("PUT", thing.missing, {"if-match": '"nonsense"'}),
        ("DELETE", thing.path, {"if-match": '"nonsense"'}),
    ]:
        if thing.kind == "virtualMachines" and path == thing.missing:
            continue
        answer = api.request(method, path, thing.version, thing.body if method == "PUT" else None, headers=headers)
        assert answer.status_code == 412, f"{method} {path} {headers}: {answer.status_code} {answer.text}"
        assert answer.json()["error"]["code"] == "PreconditionFailed"
    assert api.get(thing.path, thing.version).content == before
    assert api.get(thing.missing, thing.version).status_code == 404
    answer = api.delete(thing.missing, thing.version, headers={"if-match": "*"})
    assert answer.status_code == 204
    etag = api.get(thing.path, thing.version).headers.get("etag")
    if etag:
        answer = api.put(thing.path, thing.version, thing.body, headers={"if-match": etag})
        assert answer.status_code == 200, answer.text
        assert api.put(thing.path, thing.version, thing.body, headers={"if-match": etag}).status_code == 412


@every_type
def test_an_api_version_that_does_not_exist_is_refused_and_the_served_ones_are_named(thing, api):
    code = "InvalidApiVersionParameter" if thing.kind == "resourceGroups" else "NoRegisteredProviderFound"
    for bad in ["1999-01-01", "2099-01-01"]:
        assert thing.version in error_of(api.get(thing.path, bad), 400, code)["message"]
    for bad in ["latest", "2024-05-01-x", "2024-13-45x", "2024-05-01'--"]:
        error_of(api.get(thing.path, bad), 400, "InvalidApiVersionParameter")


@every_type
def test_a_missing_api_version_is_refused_for_every_method(thing, api):
    for method in ["GET", "PUT", "DELETE"]:
        error = error_of(api.request(method, thing.path, None, thing.body if method == "PUT" else None), 400,
                         "MissingApiVersionParameter")
        assert error["message"] == "The api-version query parameter (?api-version=) is required for all requests."


@every_type
def test_an_unknown_type_and_namespace_are_404(thing, api, group):
    namespace = thing.path.rsplit("/providers/", 1)[1].split("/")[0] if "/providers/" in thing.path else "Microsoft.Network"
    error = error_of(api.get(f"{group}/providers/{namespace}/noSuchType/x", thing.version), 404, "InvalidResourceType")
    assert error["message"] == (f"The resource type 'noSuchType' could not be found in the namespace '{namespace}' for api "
                                f"version '{thing.version}'.")
    error = error_of(api.get(f"{group}/providers/No.Such/x/y", thing.version), 404, "InvalidResourceNamespace")
    assert error["message"] == "The resource namespace 'No.Such' is invalid."


def flipped(path):
    """The path in the other case, except for the leading word that tells tenants apart."""
    return path.swapcase()


@every_type
def test_a_path_in_the_other_case_names_the_same_thing_in_its_own_spelling(thing, api):
    usual = api.must("GET", thing.path, thing.version)
    assert api.must("GET", flipped(thing.path), thing.version) == usual
    assert usual["id"] == thing.path if "Authorization" not in thing.path else usual["id"].endswith(thing.name)
    if thing.kind not in ("virtualMachines",):
        again = api.put(flipped(thing.path), thing.version, thing.body)
        assert again.ok, again.text
        assert again.json()["name"] == usual["name"]
        assert again.json()["id"] == usual["id"]


@every_type
def test_a_doubled_slash_changes_nothing(thing, api):
    usual = api.must("GET", thing.path, thing.version)
    assert api.must("GET", thing.path.replace("/", "//", 1), thing.version) == usual
    middle = thing.path.rindex("/")
    assert api.must("GET", thing.path[:middle] + "/" + thing.path[middle:], thing.version) == usual


@every_type
def test_a_slash_at_the_end_changes_nothing(thing, api):
    usual = api.must("GET", thing.path, thing.version)
    assert api.must("GET", thing.path + "/", thing.version) == usual
    collection = thing.path.rsplit("/", 1)[0]
    found = api.must("GET", collection + "/", thing.version)
    assert thing.name in [v["name"] for v in found["value"]]


@every_type
def test_a_collection_has_the_item_as_the_item_shows_itself(thing, api):
    found = api.must("GET", thing.path.rsplit("/", 1)[0], thing.version)
    assert isinstance(found["value"], list)
    [same] = [v for v in found["value"] if v["name"] == thing.name]
    assert same == api.must("GET", thing.path, thing.version)


@every_type
def test_a_second_put_and_a_delete_answer_as_azure_does(thing, api):
    if thing.kind == "virtualMachines":
        body = api.must("GET", thing.path, thing.version)
        assert api.put(thing.path, thing.version, body).status_code == 200
    elif thing.kind in ("roleDefinitions", "roleAssignments"):
        assert api.put(thing.path, thing.version, thing.body).status_code in (200, 201)
    else:
        assert api.put(thing.path, thing.version, thing.body).status_code == 200
    assert api.delete(thing.path, thing.version).status_code in (200, 202)
    assert api.delete(thing.path, thing.version).status_code == 204
    assert api.get(thing.path, thing.version).status_code == 404
