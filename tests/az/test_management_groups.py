"""`az account management-group` and roles at management groups, with the rights that follow from them."""

import uuid

import pytest

from support import MANAGEMENT, NETWORK, READER, ROLES, Api, token_of

# Without it `az` asks for a registration first, and waits ten seconds for it.
QUICK = "--no-register"


@pytest.fixture
def hierarchy(az, ready, api, owner_of_everything):
    """Two groups of this test, the second in the first; the subscription is in the root group afterwards."""
    outer, inner = (f"t-{part}-{uuid.uuid4().hex[:6]}" for part in ("outer", "inner"))
    az("account", "management-group", "create", "-n", outer, "--display-name", "Outer", QUICK)
    az("account", "management-group", "create", "-n", inner, "--parent", outer, QUICK)
    yield outer, inner
    root = f"/providers/Microsoft.Management/managementGroups/{ready.tenant}/subscriptions/{ready.subscription_id}"
    api.must("PUT", root, MANAGEMENT)
    for name in (inner, outer):
        az("account", "management-group", "delete", "-n", name, QUICK)
        az.fails("account", "management-group", "show", "-n", name, QUICK, code=3, says="(ResourceNotFound)")


def test_groups_are_created_shown_listed_updated_and_moved(az, ready, hierarchy):
    outer, inner = hierarchy
    shown = az("account", "management-group", "show", "-n", outer, QUICK)
    assert (shown["displayName"], shown["tenantId"]) == ("Outer", ready.tenant)
    assert shown["details"]["parent"]["displayName"] == "Tenant Root Group"
    expanded = az("account", "management-group", "show", "-n", ready.tenant, "--expand", "--recurse", QUICK)
    found = next(c for c in expanded["children"] if c["name"] == outer)
    assert [c["name"] for c in found["children"]] == [inner]
    assert ready.subscription in [c["id"] for c in expanded["children"]]
    assert {outer, inner, ready.tenant} <= {g["name"] for g in az("account", "management-group", "list", QUICK)}
    assert az("account", "management-group", "update", "-n", inner, "--display-name", "Renamed")["displayName"] == "Renamed"
    moved = az("account", "management-group", "update", "-n", inner, "--parent", ready.tenant)
    assert (moved["displayName"], moved["details"]["parent"]["name"]) == ("Renamed", ready.tenant)
    az.fails("account", "management-group", "update", "-n", inner, "--parent", inner, says="(CircularHierarchy)")
    az.fails("account", "management-group", "create", "-n", "ends.", QUICK, says="(InvalidGroupId)")
    entities = {e["name"]: e for e in az("account", "management-group", "entities", "list")}
    assert entities[inner]["parentNameChain"] == [ready.tenant]
    available = az("account", "management-group", "check-name-availability", "-n", inner)
    assert available["nameAvailable"] is False
    assert az("account", "management-group", "check-name-availability", "-n", f"free-{inner}")["nameAvailable"] is True


def test_a_group_with_something_in_it_stays(az, hierarchy):
    outer, inner = hierarchy
    az.fails("account", "management-group", "delete", "-n", outer, QUICK, says=["(GroupHasChildren)", inner])


def test_a_subscription_is_added_shown_and_removed(az, ready, hierarchy):
    _, inner = hierarchy
    subscription = ["--subscription", ready.subscription_id]
    added = az("account", "management-group", "subscription", "add", "-n", inner, *subscription)
    assert added["parent"]["id"].endswith(f"/{inner}")
    shown = az("account", "management-group", "subscription", "show", "-n", inner, *subscription)
    assert (shown["name"], shown["state"]) == (ready.subscription_id, "Active")
    listed = az("account", "management-group", "subscription", "show-sub-under-mg", "-n", inner)
    assert [s["name"] for s in listed] == [ready.subscription_id]
    az("account", "management-group", "subscription", "remove", "-n", inner, *subscription)
    assert az("account", "management-group", "subscription", "show-sub-under-mg", "-n", inner) == []
    root = az("account", "management-group", "show", "-n", ready.tenant, "--expand", QUICK)
    assert ready.subscription in [c["id"] for c in root["children"]]


def test_a_role_at_a_group_is_a_role_in_every_subscription_in_it(az, ready, api, administrator, hierarchy):
    outer, inner = hierarchy
    scope = f"/providers/Microsoft.Management/managementGroups/{outer}"
    nobody = administrator.add_principal(f"t-mg-{uuid.uuid4().hex[:6]}")
    try:
        made = az("role", "assignment", "create", "--assignee-object-id", nobody.principal, "--assignee-principal-type",
                  "ServicePrincipal", "--role", READER, "--scope", scope)
        assert made["scope"] == scope
        assert made["id"] in [a["id"] for a in az("role", "assignment", "list", "--scope", scope, "--fill-principal-name", "false",
                                                  "--fill-role-definition-name", "false")]
        client = Api(ready, token_of(ready, app=nobody.app, secret=nobody.secret))
        groups = f"{ready.group}/providers/Microsoft.Network/networkSecurityGroups"
        assert client.get(groups, NETWORK).status_code == 404
        az("account", "management-group", "subscription", "add", "-n", inner, "--subscription", ready.subscription_id)
        assert client.get(groups, NETWORK).status_code == 200
        inherited = az("role", "assignment", "list", "--scope", ready.group, "--include-inherited", "--fill-principal-name", "false",
                       "--fill-role-definition-name", "false")
        assert made["id"] in [a["id"] for a in inherited]
        az("account", "management-group", "subscription", "remove", "-n", inner, "--subscription", ready.subscription_id)
        assert client.get(groups, NETWORK).status_code == 404
        az("role", "assignment", "delete", "--ids", made["id"])
        assert api.get(made["id"], ROLES).status_code == 404
    finally:
        administrator.remove_application(nobody.application)
