"""The stock `az` over every type: what it creates, shows, lists, updates and deletes, and how errors are printed."""

import json
import uuid

import pytest

from support import COMPUTE, NETWORK, READER, ROLES, Az, join_machine, poll


@pytest.fixture(scope="module")
def nic(api, group):
    """A NIC that no machine reports, in a network of its own."""
    network = f"{group}/providers/Microsoft.Network/virtualNetworks/loose"
    api.must("PUT", network, NETWORK, {"location": "home", "properties": {
        "addressSpace": {"addressPrefixes": ["10.9.0.0/16"]},
        "subnets": [{"name": "a", "properties": {"addressPrefix": "10.9.0.0/24"}}]}})
    return "loose"


# Groups and tags


def test_groups_are_created_shown_listed_updated_and_deleted(az, ready):
    name = f"t-az-{uuid.uuid4().hex[:6]}"
    made = az("group", "create", "-n", name, "-l", "home", "--tags", "env=prod", "team=a")
    assert made["properties"]["provisioningState"] == "Succeeded"
    assert made["id"] == f"{ready.subscription}/resourceGroups/{name}"
    assert (made["location"], made["tags"]) == ("home", {"env": "prod", "team": "a"})
    assert az("group", "show", "-n", name.upper()) == made
    assert az("group", "exists", "-n", name) is True
    assert name in [g["name"] for g in az("group", "list")]
    assert [g["name"] for g in az("group", "list", "--tag", "env=prod") if g["name"] == name] == [name]
    assert az("group", "list", "--tag", "env=other") == []
    assert az("group", "update", "-n", name, "--set", "tags.env=test")["tags"] == {"env": "test", "team": "a"}
    assert az("group", "update", "-n", name, "--tags", "x=y")["tags"] == {"x": "y"}
    az("group", "delete", "-n", name, "-y")
    assert az("group", "exists", "-n", name) is False
    az.fails("group", "show", "-n", name, code=3, says=["(ResourceGroupNotFound)", f"Resource group '{name}' could not be found."])


def test_a_group_takes_what_is_in_it_along(az, api, ready):
    name = f"t-az-{uuid.uuid4().hex[:6]}"
    az("group", "create", "-n", name, "-l", "home")
    az("network", "nsg", "create", "-g", name, "-n", "inside")
    az("group", "delete", "-n", name, "-y")
    path = f"{ready.subscription}/resourceGroups/{name}/providers/Microsoft.Network/networkSecurityGroups/inside"
    assert api.get(path, NETWORK).status_code == 404


def test_group_errors_are_printed_with_code_and_text(az):
    az.fails("group", "create", "-n", "ends.", "-l", "home", says="(InvalidResourceGroup)")
    az.fails("group", "show", "-n", "there-is-none", code=3, says="Code: ResourceGroupNotFound")
    az.fails("group", "create", "-n", "x", code=2, says="--location")


def test_tags_are_set_merged_replaced_and_removed_at_any_scope(az, group, group_name):
    made = az("network", "asg", "create", "-g", group_name, "-n", "tagged", "--tags", "a=1")
    for scope in [made["id"], group]:
        assert az("tag", "create", "--resource-id", scope, "--tags", "team=a")["properties"]["tags"] == {"team": "a"}
        assert az("tag", "update", "--resource-id", scope, "--operation", "Merge", "--tags", "env=b")["properties"]["tags"] == {
            "team": "a", "env": "b"}
        assert az("tag", "list", "--resource-id", scope)["properties"]["tags"] == {"team": "a", "env": "b"}
    assert az("network", "asg", "show", "-g", group_name, "-n", "tagged")["tags"] == {"team": "a", "env": "b"}
    assert az("tag", "update", "--resource-id", made["id"], "--operation", "Delete", "--tags", "env=b")["properties"]["tags"] == {
        "team": "a"}
    assert az("tag", "update", "--resource-id", made["id"], "--operation", "Replace", "--tags", "c=d")["properties"]["tags"] == {
        "c": "d"}
    az("tag", "delete", "--resource-id", made["id"], "-y")
    assert not az("network", "asg", "show", "-g", group_name, "-n", "tagged")["tags"]
    az("network", "asg", "delete", "-g", group_name, "-n", "tagged")


# Security groups and rules


def test_a_security_group_is_born_with_the_six_default_rules(az, group_name):
    made = az("network", "nsg", "create", "-g", group_name, "-n", "six", "--tags", "a=b")["NewNSG"]
    assert made["provisioningState"] == "Succeeded"
    assert (made["location"], made["tags"], made["securityRules"]) == ("home", {"a": "b"}, [])
    assert [(r["name"], r["priority"], r["access"], r["direction"]) for r in made["defaultSecurityRules"]] == [
        ("AllowVnetInBound", 65000, "Allow", "Inbound"), ("AllowAzureLoadBalancerInBound", 65001, "Allow", "Inbound"),
        ("DenyAllInBound", 65500, "Deny", "Inbound"), ("AllowVnetOutBound", 65000, "Allow", "Outbound"),
        ("AllowInternetOutBound", 65001, "Allow", "Outbound"), ("DenyAllOutBound", 65500, "Deny", "Outbound"),
    ]
    assert az("network", "nsg", "show", "-g", group_name, "-n", "SIX")["name"] == "six"
    assert [g["name"] for g in az("network", "nsg", "list", "-g", group_name)] == ["six"]
    assert "six" in [g["name"] for g in az("network", "nsg", "list")]
    assert az("network", "nsg", "update", "-g", group_name, "-n", "six", "--set", "tags.c=d")["tags"] == {"a": "b", "c": "d"}
    az("network", "nsg", "delete", "-g", group_name, "-n", "six")
    az.fails("network", "nsg", "show", "-g", group_name, "-n", "six", code=3, says=[
        "(ResourceNotFound)", f"The Resource 'Microsoft.Network/networkSecurityGroups/six' under resource group '{group_name}' "
        "was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"])
    az("network", "nsg", "delete", "-g", group_name, "-n", "six")


@pytest.fixture(scope="module")
def nsg(api, group):
    api.must("PUT", f"{group}/providers/Microsoft.Network/networkSecurityGroups/rules", NETWORK, {"location": "home"})
    return "rules"


def rule(az, group_name, nsg, verb, name, *more):
    return az("network", "nsg", "rule", verb, "-g", group_name, "--nsg-name", nsg, "-n", name, *more)


def test_one_value_comes_back_singular_and_several_come_back_plural(az, group_name, nsg):
    one = rule(az, group_name, nsg, "create", "one", "--priority", "100", "--access", "Allow", "--protocol", "Tcp",
               "--source-address-prefixes", "10.0.0.0/8", "--source-port-ranges", "1024-65535",
               "--destination-address-prefixes", "VirtualNetwork", "--destination-port-ranges", "443",
               "--description", "Web, only inside")
    expected = {"sourceAddressPrefix": "10.0.0.0/8", "sourceAddressPrefixes": [], "sourcePortRange": "1024-65535",
                "sourcePortRanges": [], "destinationAddressPrefix": "VirtualNetwork", "destinationAddressPrefixes": [],
                "destinationPortRange": "443", "destinationPortRanges": [], "description": "Web, only inside",
                "priority": 100, "access": "Allow", "direction": "Inbound", "protocol": "Tcp",
                "provisioningState": "Succeeded", "name": "one"}
    assert {k: one.get(k) for k in expected} == expected
    many = rule(az, group_name, nsg, "create", "many", "--priority", "101", "--access", "Deny", "--protocol", "*",
                "--direction", "Outbound", "--source-address-prefixes", "10.0.0.0/8", "192.168.0.1",
                "--destination-address-prefixes", "fd00::/8", "10.1.2.3/32", "--destination-port-ranges", "80", "8000-8080")
    assert many["sourceAddressPrefixes"] == ["10.0.0.0/8", "192.168.0.1"]
    assert many["destinationAddressPrefixes"] == ["fd00::/8", "10.1.2.3/32"]
    assert many["destinationPortRanges"] == ["80", "8000-8080"]
    assert many.get("sourceAddressPrefix") is None and many.get("destinationPortRange") is None
    assert rule(az, group_name, nsg, "show", "many") == many
    changed = rule(az, group_name, nsg, "update", "one", "--destination-port-ranges", "80", "443", "--priority", "110")
    assert (changed["priority"], changed["destinationPortRanges"]) == (110, ["80", "443"])
    assert changed.get("destinationPortRange") is None
    back = rule(az, group_name, nsg, "update", "one", "--destination-port-ranges", "8443")
    assert (back["destinationPortRange"], back["destinationPortRanges"]) == ("8443", [])
    listed = az("network", "nsg", "rule", "list", "-g", group_name, "--nsg-name", nsg)
    assert sorted(r["name"] for r in listed) == ["many", "one"]
    everything = az("network", "nsg", "rule", "list", "-g", group_name, "--nsg-name", nsg, "--include-default")
    assert len(everything) == 8
    shown = az("network", "nsg", "show", "-g", group_name, "-n", nsg)
    assert sorted(r["name"] for r in shown["securityRules"]) == ["many", "one"]
    for name in ["one", "many"]:
        rule(az, group_name, nsg, "delete", name)
    assert az("network", "nsg", "rule", "list", "-g", group_name, "--nsg-name", nsg) == []


@pytest.mark.parametrize(("arguments", "says"), [
    (["--priority", "99"], "99"), (["--priority", "4097"], "4097"),
    (["--priority", "200", "--destination-port-ranges", "70000"], "70000"),
    (["--priority", "200", "--destination-port-ranges", "90-80"], "90-80"),
    (["--priority", "200", "--source-address-prefixes", "10.0.0.0/33"], "10.0.0.0/33"),
    (["--priority", "200", "--source-address-prefixes", "NoSuchTag"], "NoSuchTag"),
])
def test_what_az_does_not_check_the_server_refuses_by_name(az, group_name, nsg, arguments, says):
    az.fails("network", "nsg", "rule", "create", "-g", group_name, "--nsg-name", nsg, "-n", "bad", *arguments,
             says=["ERROR: (SecurityRule", "Code: SecurityRule", says])
    assert az("network", "nsg", "rule", "list", "-g", group_name, "--nsg-name", nsg) == []


def test_two_rules_cannot_have_the_same_priority_and_direction(az, group_name, nsg):
    rule(az, group_name, nsg, "create", "first", "--priority", "300")
    az.fails("network", "nsg", "rule", "create", "-g", group_name, "--nsg-name", nsg, "-n", "second", "--priority", "300", says=[
        "(SecurityRuleConflict)", "Rules cannot have the same Priority and Direction."])
    rule(az, group_name, nsg, "create", "second", "--priority", "300", "--direction", "Outbound")
    for name in ["first", "second"]:
        rule(az, group_name, nsg, "delete", name)


def test_a_rule_of_a_missing_group_is_a_real_404(az, group_name, nsg):
    for verb, more in [("show", []), ("update", ["--access", "Deny"])]:
        az.fails("network", "nsg", "rule", verb, "-g", group_name, "--nsg-name", nsg, "-n", "none", *more, code=3,
                 says="(ResourceNotFound)")
    az.fails("network", "nsg", "rule", "create", "-g", group_name, "--nsg-name", "none", "-n", "x", "--priority", "100", code=3,
             says="NotFound)")
    az.fails("network", "nsg", "rule", "create", "-g", "no-such-group", "--nsg-name", "x", "-n", "x", "--priority", "100", code=3,
             says="(ResourceGroupNotFound)")


def test_application_security_groups(az, group_name, nsg):
    made = az("network", "asg", "create", "-g", group_name, "-n", "asg1", "--tags", "a=b")
    assert (made["provisioningState"], made["tags"], made["type"]) == (
        "Succeeded", {"a": "b"}, "Microsoft.Network/applicationSecurityGroups")
    assert az("network", "asg", "show", "-g", group_name, "-n", "asg1") == made
    assert [a["name"] for a in az("network", "asg", "list", "-g", group_name)] == ["asg1"]
    assert az("network", "asg", "update", "-g", group_name, "-n", "asg1", "--set", "tags.c=d")["tags"] == {"a": "b", "c": "d"}
    used = rule(az, group_name, nsg, "create", "by-asg", "--priority", "400", "--source-asgs", "asg1",
                "--destination-asgs", "asg1")
    assert used["sourceApplicationSecurityGroups"][0]["id"] == made["id"]
    az.fails("network", "asg", "delete", "-g", group_name, "-n", "asg1", says=[
        "(InUseApplicationSecurityGroupCannotBeDeleted)", "by-asg"])
    rule(az, group_name, nsg, "delete", "by-asg")
    az("network", "asg", "delete", "-g", group_name, "-n", "asg1")
    az.fails("network", "nsg", "rule", "create", "-g", group_name, "--nsg-name", nsg, "-n", "bad", "--priority", "400",
             "--source-asgs", "asg1", says="(InvalidResourceReference)")


# Networks, subnets, interfaces


def test_networks_and_subnets(az, group_name, group, nsg):
    made = az("network", "vnet", "create", "-g", group_name, "-n", "net", "--address-prefixes", "10.20.0.0/16", "fd20::/48",
              "--subnet-name", "front", "--subnet-prefixes", "10.20.1.0/24")["newVNet"]
    assert made["addressSpace"]["addressPrefixes"] == ["10.20.0.0/16", "fd20::/48"]
    assert made["subnets"][0]["id"] == f"{made['id']}/subnets/front"
    made = az("network", "vnet", "subnet", "create", "-g", group_name, "--vnet-name", "net", "-n", "back",
              "--address-prefixes", "10.20.2.0/24", "--network-security-group", nsg)
    assert (made["addressPrefix"], made["privateEndpointNetworkPolicies"], made["privateLinkServiceNetworkPolicies"]) == (
        "10.20.2.0/24", "Disabled", "Enabled")
    assert made["networkSecurityGroup"]["id"] == f"{group}/providers/Microsoft.Network/networkSecurityGroups/{nsg}"
    shown = az("network", "nsg", "show", "-g", group_name, "-n", nsg)
    assert [s["id"] for s in shown["subnets"]] == [made["id"]]
    az.fails("network", "nsg", "delete", "-g", group_name, "-n", nsg, says="(InUseNetworkSecurityGroupCannotBeDeleted)")
    changed = az("network", "vnet", "subnet", "update", "-g", group_name, "--vnet-name", "net", "-n", "back",
                 "--network-security-group", "null")
    assert changed.get("networkSecurityGroup") is None
    assert sorted(s["name"] for s in az("network", "vnet", "subnet", "list", "-g", group_name, "--vnet-name", "net")) == [
        "back", "front"]
    assert az("network", "vnet", "subnet", "show", "-g", group_name, "--vnet-name", "net", "-n", "front")["name"] == "front"
    assert az("network", "vnet", "update", "-g", group_name, "-n", "net", "--set", "tags.a=b")["tags"] == {"a": "b"}
    assert len(az("network", "vnet", "show", "-g", group_name, "-n", "net")["subnets"]) == 2
    assert "net" in [v["name"] for v in az("network", "vnet", "list", "-g", group_name)]
    az("network", "vnet", "subnet", "delete", "-g", group_name, "--vnet-name", "net", "-n", "back")
    az.fails("network", "vnet", "subnet", "create", "-g", group_name, "--vnet-name", "net", "-n", "outside",
             "--address-prefixes", "192.168.0.0/24", says="(NetcfgSubnetRangeOutsideVnet) Subnet 'outside' is not valid")
    az.fails("network", "vnet", "subnet", "create", "-g", group_name, "--vnet-name", "net", "-n", "overlap",
             "--address-prefixes", "10.20.1.128/25", says="(NetcfgSubnetRangesOverlap) Subnet 'overlap' is not valid")
    az("network", "vnet", "delete", "-g", group_name, "-n", "net")


def test_interfaces_are_created_updated_and_hold_on_to_their_subnet(az, group_name, group, nic, nsg):
    made = az("network", "nic", "create", "-g", group_name, "-n", "nic1", "--vnet-name", nic, "--subnet", "a",
              "--network-security-group", nsg)["NewNIC"]
    assert made["networkSecurityGroup"]["id"].endswith(f"/{nsg}")
    assert az("network", "nic", "show", "-g", group_name, "-n", "nic1")["name"] == "nic1"
    assert [n["name"] for n in az("network", "nic", "list", "-g", group_name)] == ["nic1"]
    assert az("network", "nic", "update", "-g", group_name, "-n", "nic1", "--set", "tags.a=b")["tags"] == {"a": "b"}
    detached = az("network", "nic", "update", "-g", group_name, "-n", "nic1", "--network-security-group", "null")
    assert detached.get("networkSecurityGroup") is None
    az.fails("network", "vnet", "subnet", "delete", "-g", group_name, "--vnet-name", nic, "-n", "a", says=[
        "(InUseSubnetCannotBeDeleted)", "Subnet a is in use by", "nic1/ipConfigurations"])
    az("network", "nic", "delete", "-g", group_name, "-n", "nic1")


def test_a_machines_interface_keeps_what_the_machine_says_through_updates(az, ready, api, nic_kept):
    path = ready.machine("jump").nicId
    name, group = path.rsplit("/", 1)[1], ready.group_name
    before = nic_kept(path)["properties"]
    assert before["virtualMachine"]["id"] == ready.machine("jump").id
    for arguments in [["--network-security-group", "null"], ["--network-security-group", "demo-nsg"], ["--set", "tags.a=b"]]:
        az("network", "nic", "update", "-g", group, "-n", name, *arguments)
        after = api.must("GET", path, NETWORK)["properties"]
        for field in ["virtualMachine", "macAddress", "primary"]:
            assert after[field] == before[field]
        assert [c["properties"]["privateIPAddress"] for c in after["ipConfigurations"]] == [
            c["properties"]["privateIPAddress"] for c in before["ipConfigurations"]]
        if arguments[1] == "null":
            assert after["networkSecurityGroup"] is None
        else:
            assert after["networkSecurityGroup"]["id"].endswith("/demo-nsg")
    az.fails("network", "nic", "delete", "-g", group, "-n", name, says=["(NicInUse)", "/virtualMachines/jump"])
    shown = az("network", "nic", "show-effective-route-table", "-g", group, "-n", name)
    assert ["10.77.0.0/24"] in [r["addressPrefix"] for r in shown["value"]]


# Machines


def test_machines_are_listed_and_shown(az, ready):
    names = {m["name"] for m in ready.data["machines"]}
    assert {v["name"] for v in az("vm", "list", "-g", ready.group_name)} == names
    assert names <= {v["name"] for v in az("vm", "list")}
    shown = az("vm", "show", "-g", ready.group_name, "-n", "web")
    assert shown["id"] == ready.machine("web").id
    assert shown["tags"] == {} and shown["storageProfile"]["osDisk"]["createOption"]
    detailed = az("vm", "show", "-d", "-g", ready.group_name, "-n", "web")
    assert detailed["powerState"] == "VM running"
    assert ready.machine("web").address in detailed["privateIps"].split(",")
    view = az("vm", "get-instance-view", "-g", ready.group_name, "-n", "web")["instanceView"]
    assert "PowerState/running" in [s["code"] for s in view["statuses"]]
    assert view["vmAgent"]["statuses"][0]["displayStatus"] == "Ready"
    found = az("vm", "list-ip-addresses", "-g", ready.group_name, "-n", "web")
    assert ready.machine("web").address in found[0]["virtualMachine"]["network"]["privateIpAddresses"]
    az.fails("vm", "show", "-g", ready.group_name, "-n", "none", code=3, says="(ResourceNotFound)")


def test_a_machines_tags_are_updated_and_everything_else_is_the_machines(az, ready, api):
    before = api.must("GET", ready.machine("web").id, COMPUTE)
    changed = az("vm", "update", "-g", ready.group_name, "-n", "web", "--set", "tags.tier=front")
    assert changed["tags"] == {"tier": "front"}
    changed = az("vm", "update", "-g", ready.group_name, "-n", "web", "--remove", "tags.tier")
    assert changed["tags"] == {}
    after = api.must("GET", ready.machine("web").id, COMPUTE)
    for field in ["vmId", "hardwareProfile", "storageProfile", "osProfile", "networkProfile", "timeCreated"]:
        assert after["properties"][field] == before["properties"][field]


def test_a_machine_that_joined_is_deleted_by_az_and_cannot_be_made_by_a_client(az, api, group, group_name):
    machine = join_machine(api, group, "short-lived")
    assert machine == f"{group}/providers/Microsoft.Compute/virtualMachines/short-lived"
    az("vm", "delete", "-g", group_name, "-n", "short-lived", "-y")
    az.fails("vm", "show", "-g", group_name, "-n", "short-lived", code=3, says="(ResourceNotFound)")
    ran = az.run("rest", "--method", "put", "--url", f"{machine}?api-version={COMPUTE}", "--body", '{"location": "home"}')
    assert ran.code == 1
    assert "OperationNotAllowed" in ran.err and "sekisho-agent join" in ran.err


# Generic resources


def test_the_generic_resource_commands(az, ready, group_name, nsg, group):
    path = f"{group}/providers/Microsoft.Network/networkSecurityGroups/{nsg}"
    found = az("resource", "list", "-g", group_name)
    assert nsg in [r["name"] for r in found]
    assert all("/" not in r["type"].split("/", 1)[1] for r in found)
    found = az("resource", "list", "--resource-type", "Microsoft.Compute/virtualMachines")
    assert {m["name"] for m in ready.data["machines"]} <= {r["name"] for r in found}
    assert az("resource", "show", "--ids", path)["properties"]["defaultSecurityRules"]
    shown = az("resource", "show", "-g", group_name, "-n", nsg, "--resource-type", "Microsoft.Network/networkSecurityGroups")
    assert shown["id"] == path
    assert az("resource", "tag", "--ids", path, "--tags", "by=resource")["tags"] == {"by": "resource"}
    assert [r["name"] for r in az("resource", "list", "--tag", "by=resource")] == [nsg]
    body = json.dumps({"location": "home", "properties": {}})
    other = f"{group}/providers/Microsoft.Network/applicationSecurityGroups/generic"
    made = az("resource", "create", "--id", other, "--is-full-object", "--properties", body, "--api-version", NETWORK)
    assert made["id"] == other
    az("resource", "delete", "--ids", other)
    az.fails("resource", "show", "--ids", other, code=3, says="(ResourceNotFound)")
    az.fails("resource", "show", "--ids", f"{group}/providers/Microsoft.Network/unicorns/x", code=1, says="unicorns")


def test_providers_and_locations(az):
    found = az("provider", "list")
    assert all(p["registrationState"] == "Registered" for p in found)
    assert {"Microsoft.Network", "Microsoft.Compute", "Microsoft.Authorization"} <= {p["namespace"] for p in found}
    shown = az("provider", "show", "-n", "microsoft.network")
    assert "networkSecurityGroups" in [t["resourceType"] for t in shown["resourceTypes"]]
    az("provider", "register", "-n", "Microsoft.Network")
    az.fails("provider", "show", "-n", "No.Such", code=3, says="(InvalidResourceNamespace)")
    assert "home" in [p["name"] for p in az("account", "list-locations")]


# Roles


def test_role_definitions(az, ready, group):
    found = az("role", "definition", "list", "--name", "Reader")
    assert [d["name"] for d in found] == [READER]
    assert found[0]["permissions"][0]["actions"] == ["*/read"]
    everything = az("role", "definition", "list")
    assert {"Owner", "Contributor", "Reader", "Network Contributor"} <= {d["roleName"] for d in everything}
    name = f"Rule keeper {uuid.uuid4().hex[:6]}"
    made = az("role", "definition", "create", "--role-definition", json.dumps({
        "Name": name, "Description": "Keeps rules", "AssignableScopes": [group],
        "Actions": ["Microsoft.Network/networkSecurityGroups/*"], "NotActions": ["Microsoft.Network/networkSecurityGroups/delete"]}))
    assert (made["roleName"], made["roleType"]) == (name, "CustomRole")
    try:
        [listed] = az("role", "definition", "list", "--custom-role-only", "--scope", group, "--name", name)
        assert listed["id"] == made["id"]
        listed["description"] = "Keeps other rules"
        assert az("role", "definition", "update", "--role-definition", json.dumps(listed))["description"] == "Keeps other rules"
        az.fails("role", "definition", "create", "--role-definition", json.dumps({
            "Name": name, "AssignableScopes": [group], "Actions": ["*/read"]}), says="RoleDefinitionWithSameNameExists")
    finally:
        az("role", "definition", "delete", "--name", name, "--scope", group)
    assert az("role", "definition", "list", "--name", name) == []


def test_role_assignments_by_object_id(az, ready, group, own_object_id):
    assignee = ["--assignee-object-id", own_object_id, "--assignee-principal-type", "ServicePrincipal"]
    made = az("role", "assignment", "create", *assignee, "--role", "Reader", "--scope", group)
    assert made["principalId"] == own_object_id
    assert (made["principalType"], made["scope"]) == ("ServicePrincipal", group)
    try:
        again = az("role", "assignment", "create", *assignee, "--role", "Reader", "--scope", group)
        assert again["id"] == made["id"]
        found = az("role", "assignment", "list", "--scope", group)
        assert [a["id"] for a in found if a["scope"] == group] == [made["id"]]
        assert [a["roleDefinitionName"] for a in found] == ["Reader"]
        found = az("role", "assignment", "list", "--assignee", ready.app_id, "--all")
        assert {"Reader", "Owner"} <= {a["roleDefinitionName"] for a in found}
        assert az("role", "assignment", "list", "--scope", group, "--include-inherited", "--query", "length(@)") >= 2
    finally:
        az("role", "assignment", "delete", "--ids", made["id"])
    assert made["id"] not in [a["id"] for a in az("role", "assignment", "list", "--all")]
    az.fails("role", "assignment", "create", *assignee, "--role", "No such role", "--scope", group, says="No such role")
    az.fails("role", "assignment", "create", "--assignee", str(uuid.uuid4()), "--role", "Reader", "--scope", group,
             says="Cannot find user or service principal in graph database")


def test_deny_assignments_are_listed(az, api, group):
    path = f"{group}/providers/Microsoft.Authorization/denyAssignments/{uuid.uuid4()}"
    api.must("PUT", path, ROLES, {"properties": {
        "denyAssignmentName": f"No deletion {uuid.uuid4().hex[:6]}", "permissions": [{"actions": ["*/delete"]}],
        "principals": [{"id": str(uuid.uuid4()), "type": "User"}]}})
    try:
        assert path in [d["id"] for d in az("role", "deny-assignment", "list", "--scope", group)]
    finally:
        api.must("DELETE", path, ROLES)


# The directory


def test_the_directory_is_read(az, ready, own_object_id):
    assert isinstance(az("ad", "user", "list"), list)
    assert isinstance(az("ad", "group", "list"), list)
    assert ready.app_id in [p["appId"] for p in az("ad", "sp", "list", "--all")]
    assert [p["id"] for p in az("ad", "sp", "list", "--display-name", "demo")] == [own_object_id]
    assert az("ad", "sp", "show", "--id", ready.app_id)["id"] == own_object_id
    assert ready.app_id in [a["appId"] for a in az("ad", "app", "list", "--all")]
    assert az("ad", "app", "show", "--id", ready.app_id)["appId"] == ready.app_id


def test_changing_the_directory_is_refused_to_a_subscriptions_owner(az):
    name = f"rbac-{uuid.uuid4().hex[:6]}"
    az.fails("ad", "sp", "create-for-rbac", "--name", name, says="Microsoft.Authorization/principals/write")
    az.fails("ad", "group", "create", "--display-name", name, "--mail-nickname", name,
             says="Microsoft.Authorization/principals/write")
    assert az("ad", "app", "list", "--display-name", name) == []
    az.fails("ad", "signed-in-user", "show", says="delegated authentication flow")


def test_an_administrator_makes_principals_groups_and_members_with_az(az, ready, administrator, tmp_path, group):
    made = administrator.add_principal(f"az tests: directory {uuid.uuid4().hex[:6]}")
    role = administrator.own(made.principal)
    other = Az(ready, tmp_path)
    created, groups = [], []
    try:
        other.register()
        other.login(made.app, made.secret)
        name = f"rbac-{uuid.uuid4().hex[:6]}"
        principal = other("ad", "sp", "create-for-rbac", "--name", name, "--role", "Reader", "--scopes", group)
        created.append(principal["appId"])
        assert principal["tenant"] == ready.tenant and principal["password"]
        third = Az(ready, tmp_path / "third")
        (tmp_path / "third").mkdir()
        third.register()
        assert third.login(principal["appId"], principal["password"])[0]["id"] == ready.subscription_id
        assert third("group", "show", "-n", group.rsplit("/", 1)[1])["id"] == group
        third.fails("network", "nsg", "create", "-g", group.rsplit("/", 1)[1], "-n", "no", says="(AuthorizationFailed)")
        shown = other("ad", "sp", "show", "--id", principal["appId"])
        team = other("ad", "group", "create", "--display-name", name, "--mail-nickname", name)
        groups.append(team["id"])
        other("ad", "group", "member", "add", "--group", name, "--member-id", shown["id"])
        assert other("ad", "group", "member", "check", "--group", name, "--member-id", shown["id"])["value"] is True
        assert [m["id"] for m in other("ad", "group", "member", "list", "--group", name)] == [shown["id"]]
        other("ad", "group", "member", "remove", "--group", name, "--member-id", shown["id"])
        assert other("ad", "group", "member", "list", "--group", name) == []
        other("ad", "group", "delete", "--group", name)
        groups.clear()
        reset = other("ad", "sp", "credential", "reset", "--id", principal["appId"])
        assert reset["password"] != principal["password"]
    finally:
        for assignment in administrator.api.must("GET", f"{group}/providers/Microsoft.Authorization/roleAssignments", ROLES)["value"]:
            if assignment["properties"]["scope"] == group:
                administrator.api.must("DELETE", assignment["id"], ROLES)
        for app in created:
            administrator.remove_application(f"(appId='{app}')")
        for team in groups:
            administrator.api.delete(f"/v1.0/groups/{team}")
        administrator.api.must("DELETE", role, ROLES)
        administrator.remove_application(made.application)


# The activity log


def test_the_activity_log_shows_who_did_what(az, ready, api, group, group_name):
    api.must("PUT", f"{group}/providers/Microsoft.Network/networkSecurityGroups/logged", NETWORK, {"location": "home"})
    api.put(f"{group}/providers/Microsoft.Network/networkSecurityGroups/logged/securityRules/bad", NETWORK, {"properties": {}})
    api.must("DELETE", f"{group}/providers/Microsoft.Network/networkSecurityGroups/logged", NETWORK)
    found = az("monitor", "activity-log", "list", "-g", group_name, "--offset", "1h")
    seen = {(e["operationName"]["value"], e["status"]["value"], e["resourceId"].rsplit("/", 1)[1]) for e in found}
    assert ("Microsoft.Network/networkSecurityGroups/write", "Succeeded", "logged") in seen
    assert ("Microsoft.Network/networkSecurityGroups/delete", "Succeeded", "logged") in seen
    assert ("Microsoft.Network/networkSecurityGroups/securityRules/write", "Failed", "bad") in seen
    assert {e["caller"] for e in found if "/logged" in e["resourceId"]} == {ready.app_id}
    assert {e["resourceGroupName"] for e in found} == {group_name}
    found = az("monitor", "activity-log", "list", "--offset", "1h", "--max-events", "3")
    assert len(found) == 3


def test_the_activity_logs_categories(az):
    assert "Administrative" in [c["value"] for c in az("monitor", "activity-log", "list-categories")]


def test_az_rest_reaches_types_of_our_own(az, ready):
    url = f"{ready.url}{ready.subscription}/providers/Sekisho.Fleet/machines?api-version=2026-11-01"
    assert {m["name"] for m in ready.data["machines"]} <= {m["name"] for m in az("rest", "--url", url)["value"]}
    poll("az rest by path", lambda: az("rest", "--url", f"{ready.subscription}/resourceGroups?api-version=2024-11-01")["value"])
