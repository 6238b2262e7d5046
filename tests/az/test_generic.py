"""`az resource` and `az tag` over types of every kind: tracked, child, extension."""

import json
import uuid

import pytest

from support import NETWORK


@pytest.fixture(scope="module")
def nsg(az, group_name):
    return az("network", "nsg", "create", "-g", group_name, "-n", "generic", "--tags", "env=prod", "team=a")["NewNSG"]


def test_a_tracked_resource_is_made_shown_updated_patched_and_deleted(az, group_name):
    where = ["-g", group_name, "-n", "made", "--resource-type", "Microsoft.Network/applicationSecurityGroups"]
    made = az("resource", "create", *where, "-l", "home", "--properties", "{}")
    assert (made["location"], made["properties"]["provisioningState"]) == ("home", "Succeeded")
    assert az("resource", "update", *where, "--set", "tags.a=b")["tags"] == {"a": "b"}
    assert az("resource", "patch", *where, "--is-full-object", "--properties", json.dumps({"tags": {"c": "d"}}))["tags"] == {"c": "d"}
    assert az("resource", "tag", *where, "--tags", "e=f", "--is-incremental")["tags"] == {"c": "d", "e": "f"}
    assert az("resource", "show", *where)["tags"] == {"c": "d", "e": "f"}
    az("resource", "wait", *where, "--exists")
    az("resource", "delete", *where)
    az.fails("resource", "show", *where, code=3, says="(ResourceNotFound)")


def test_a_child_resource_is_named_by_its_parent(az, group_name, nsg):
    where = ["-g", group_name, "--namespace", "Microsoft.Network", "--parent", "networkSecurityGroups/generic",
             "--resource-type", "securityRules", "-n", "by-resource"]
    rule = {"priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourceAddressPrefix": "*",
            "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "22"}
    made = az("resource", "create", *where, "--properties", json.dumps(rule), "--api-version", NETWORK)
    assert made["id"] == f"{nsg['id']}/securityRules/by-resource"
    assert az("resource", "update", *where, "--set", "properties.access=Deny", "--api-version", NETWORK)["properties"]["access"] == "Deny"
    az("resource", "delete", *where, "--api-version", NETWORK)
    az.fails("resource", "show", *where, "--api-version", NETWORK, code=3, says="(ResourceNotFound)")


def test_an_extension_resource_is_named_by_its_id(az, nsg):
    lock = f"{nsg['id']}/providers/Microsoft.Authorization/locks/generic"
    made = az("resource", "create", "--id", lock, "--properties", '{"level": "ReadOnly"}', "--api-version", "2020-05-01")
    assert made["properties"]["level"] == "ReadOnly"
    try:
        # `az` itself keeps the server's reason to its debug output here.
        az.fails("resource", "delete", "--ids", nsg["id"], says=["Some resources failed to be deleted", nsg["id"]])
        az.fails("resource", "tag", "--ids", nsg["id"], "--tags", "a=b", says=["(ScopeLocked)", nsg["id"]])
    finally:
        az("resource", "delete", "--ids", lock, "--api-version", "2020-05-01")


def test_an_action_is_invoked(az, ready):
    nic = ready.machine("web").nicId
    # It polls to the end and prints nothing of the result, whatever the server.
    az("resource", "invoke-action", "--ids", nic, "--action", "effectiveNetworkSecurityGroups", "--api-version", NETWORK)
    az.fails("resource", "invoke-action", "--ids", nic, "--action", "explode", "--api-version", NETWORK, says="(MethodNotAllowed)")


def test_resources_are_found_by_tag_type_name_and_place(az, group_name, nsg):
    def names(*how):
        return [r["name"] for r in az("resource", "list", "-g", group_name, *how)]

    assert names() == ["generic"]
    assert [r["name"] for r in az("resource", "list", "--tag", "env=prod") if r["resourceGroup"] == group_name] == ["generic"]
    assert [r["name"] for r in az("resource", "list", "--tag", "te*") if r["resourceGroup"] == group_name] == ["generic"]
    assert az("resource", "list", "--tag", "env=a") == []
    for how in (["--resource-type", "Microsoft.Network/networkSecurityGroups"], ["-n", "GENERIC"], ["-l", "home"]):
        assert names(*how) == ["generic"], how
    for how in (["--resource-type", "Microsoft.Network/virtualNetworks"], ["-n", "other"], ["-l", "elsewhere"]):
        assert names(*how) == [], how
    shown = az("resource", "list", "-g", group_name)[0]
    assert shown["provisioningState"] == "Succeeded" and shown["createdTime"] and shown["changedTime"]


def test_resources_are_not_moved(az, group_name, ready, nsg):
    az.fails("resource", "move", "--destination-group", ready.group_name, "--ids", nsg["id"], says="(MoveNotSupported)")


def test_the_names_and_values_of_tags_are_kept_for_the_subscription(az, ready, group, nsg):
    name = f"t{uuid.uuid4().hex[:6]}"
    az("tag", "create", "--name", name)
    assert az("tag", "add-value", "--name", name, "--value", "low")["tagValue"] == "low"
    az("tag", "create", "--resource-id", nsg["id"], "--tags", f"{name}=high")
    found = next(t for t in az("tag", "list") if t["tagName"] == name)
    assert {v["tagValue"]: v["count"]["value"] for v in found["values"]} == {"high": 1, "low": 0}
    az.fails("tag", "delete", "--name", name, "-y", says=["(TagInUse)", name])
    az("tag", "delete", "--resource-id", nsg["id"], "-y")
    az("tag", "remove-value", "--name", name, "--value", "low")
    az("tag", "delete", "--name", name, "-y")
    assert name not in [t["tagName"] for t in az("tag", "list")]


def test_a_subscription_has_tags(az, ready):
    before = az("tag", "list", "--resource-id", ready.subscription)["properties"]["tags"]
    assert az("tag", "update", "--resource-id", ready.subscription, "--operation", "Merge", "--tags", "site=tokyo")["properties"][
        "tags"] == {**before, "site": "tokyo"}
    assert az("tag", "update", "--resource-id", ready.subscription, "--operation", "Delete", "--tags", "site=tokyo")["properties"][
        "tags"] == before
