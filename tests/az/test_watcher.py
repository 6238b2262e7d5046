"""`az network watcher`: what is in force at a machine, answered about a packet, a route, and all of it."""

import uuid

import pytest

from support import NETWORK, poll


@pytest.fixture(scope="module")
def watcher(az, group_name):
    """As one enables Network Watcher for a place; commands find the watcher by the place of the machine."""
    az("network", "watcher", "configure", "-g", group_name, "-l", "home", "--enabled", "true")
    shown = az("network", "watcher", "list")
    [own] = [w for w in shown if w["location"] == "home"]
    return own


@pytest.fixture
def denied(ready, api):
    """A rule that keeps a port closed."""
    path = f"{ready.network()}/networkSecurityGroups/demo-nsg/securityRules/watched-{uuid.uuid4().hex[:6]}"
    api.must("PUT", path, NETWORK, {"properties": {
        "priority": 207, "direction": "Inbound", "access": "Deny", "protocol": "Tcp", "sourceAddressPrefix": "*",
        "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "8099"}})
    yield path.rsplit("/", 1)[1]
    api.must("DELETE", path, NETWORK)


def test_ip_flow_verify_names_the_rule_that_decides(az, ready, watcher, denied):
    machine = ready.machine("db")
    ask = ["network", "watcher", "test-ip-flow", "-g", ready.group_name, "--vm", machine.id, "--direction", "Inbound", "--protocol", "TCP",
           "--remote", "10.77.0.9:50000"]
    shown = az(*ask, "--local", f"{machine.address}:8099")
    assert shown == {"access": "Deny", "ruleName": f"UserRule_{denied}"}
    shown = az(*ask, "--local", f"{machine.address}:8080")
    assert shown["access"] == "Allow"
    outbound = az("network", "watcher", "test-ip-flow", "-g", ready.group_name, "--vm", machine.id, "--direction", "Outbound", "--protocol", "UDP",
                  "--local", f"{machine.address}:50000", "--remote", "203.0.113.9:53")
    assert outbound == {"access": "Allow", "ruleName": "DefaultRule_AllowInternetOutBound"}


def test_next_hop_is_that_of_the_machine_s_own_routes(az, ready, watcher):
    machine = ready.machine("db")
    ask = ["network", "watcher", "show-next-hop", "-g", ready.group_name, "--vm", machine.id, "--source-ip", machine.address]
    shown = poll("the machine has told of its routes",
                 lambda: (hop := az(*ask, "--dest-ip", "10.77.0.9"))["nextHopType"] != "None" and hop)
    assert shown == {"nextHopType": "VnetLocal", "routeTableId": "System Route"}
    assert az(*ask, "--dest-ip", "203.0.113.9")["nextHopType"] in ("None", "Internet")


def test_the_security_group_view_holds_every_rule(az, ready, watcher, denied):
    shown = az("network", "watcher", "show-security-group-view", "-g", ready.group_name, "--vm",
               ready.machine("db").id)
    [nic] = shown["networkInterfaces"]
    rules = nic["securityRuleAssociations"]
    assert denied in [r["name"] for r in rules["networkInterfaceAssociation"]["securityRules"]]
    assert {r["name"] for r in rules["defaultSecurityRules"]} >= {"DenyAllInBound", "AllowVnetInBound"}
    assert f"securityRules/{denied}" in [r["name"] for r in rules["effectiveSecurityRules"]]


def test_a_diagnostic_says_which_field_of_which_rule_does_not_match(az, ready, watcher, denied):
    machine = ready.machine("db")
    shown = az("network", "watcher", "run-configuration-diagnostic", "--resource", machine.id, "--direction", "Inbound",
               "--protocol", "TCP", "--source", "10.77.0.9", "--destination", machine.address, "--port", "8099")
    [result] = shown["results"]
    said = result["networkSecurityGroupResult"]
    assert said["securityRuleAccessResult"] == "Deny"
    [group] = said["evaluatedNetworkSecurityGroups"]
    assert group["matchedRule"] == {"action": "Deny", "ruleName": f"UserRule_{denied}"}
    last = group["rulesEvaluationResult"][-1]
    assert last["name"] == f"UserRule_{denied}" and all(last[k] for k in last if k != "name")
    assert not any(all(r[k] for k in r if k != "name") for r in group["rulesEvaluationResult"][:-1])


def test_the_topology_shows_what_is_connected(az, ready, watcher):
    shown = az("network", "watcher", "show-topology", "-g", ready.group_name, "-l", "home")
    by_id = {r["id"].lower(): r for r in shown["resources"]}
    machine = ready.machine("db")
    assert [a["resourceId"].lower() for a in by_id[machine.id.lower()]["associations"]] == [machine.nicId.lower()]
    nic = [a["name"] for a in by_id[machine.nicId.lower()]["associations"]]
    assert "demo-nsg" in nic and "default" in nic
