"""`az lock` at the three kinds of scopes, and what a lock makes other commands print."""

import uuid

import pytest

LOCKED = "Please remove the lock and try again."


@pytest.fixture
def nsg(az, group_name):
    name = f"locked-{uuid.uuid4().hex[:6]}"
    made = az("network", "nsg", "create", "-g", group_name, "-n", name)["NewNSG"]
    yield made
    az("network", "nsg", "delete", "-g", group_name, "-n", name)


def at_scope(scope, group_name, nsg):
    return {
        "subscription": [],
        "group": ["-g", group_name],
        "resource": ["-g", group_name, "--resource-type", "Microsoft.Network/networkSecurityGroups", "--resource", nsg["name"]],
    }[scope]


@pytest.mark.parametrize("scope", ["subscription", "group", "resource"])
def test_a_lock_is_made_shown_listed_updated_and_deleted(az, ready, group, group_name, nsg, scope):
    where, name = at_scope(scope, group_name, nsg), f"l-{uuid.uuid4().hex[:6]}"
    base = {"subscription": ready.subscription, "group": group, "resource": nsg["id"]}[scope]
    made = az("lock", "create", "-n", name, "--lock-type", "CanNotDelete", "--notes", "Keep it.", *where)
    try:
        assert made["id"] == f"{base}/providers/Microsoft.Authorization/locks/{name}"
        assert (made["level"], made["notes"], made["type"]) == ("CanNotDelete", "Keep it.", "Microsoft.Authorization/locks")
        assert az("lock", "show", "-n", name, *where)["level"] == "CanNotDelete"
        assert name in [found["name"] for found in az("lock", "list", *where)]
        # Shown for everything above as well, and told apart from what only holds above by `atScope()`.
        assert name in [found["name"] for found in az("lock", "list")]
        az.fails("network", "nsg", "delete", "-g", group_name, "-n", nsg["name"], says=[
            "(ScopeLocked)", f"The scope '{nsg['id']}' cannot perform delete operation because following scope(s) are locked: "
            f"'{base}'. {LOCKED}"])
        if scope != "subscription":
            az.fails("group", "delete", "-n", group_name, "-y", says=["(ScopeLocked)", LOCKED])
        assert az("network", "nsg", "update", "-g", group_name, "-n", nsg["name"], "--set", "tags.a=b")["tags"] == {"a": "b"}
        assert az("lock", "update", "-n", name, "--lock-type", "ReadOnly", *where)["level"] == "ReadOnly"
        az.fails("network", "nsg", "update", "-g", group_name, "-n", nsg["name"], "--set", "tags.a=c", says=[
            "(ScopeLocked)", "cannot perform write operation"])
        az.fails("tag", "create", "--resource-id", nsg["id"], "--tags", "a=b", says="(ScopeLocked)")
        assert az("network", "nsg", "show", "-g", group_name, "-n", nsg["name"])["tags"] == {"a": "b"}
    finally:
        az("lock", "delete", "-n", name, *where)
    assert name not in [found["name"] for found in az("lock", "list")]
    az("network", "nsg", "update", "-g", group_name, "-n", nsg["name"], "--set", "tags.a=d")


def test_a_lock_is_addressed_by_its_id(az, group_name):
    made = az("lock", "create", "-n", "by-id", "--lock-type", "ReadOnly", "-g", group_name)
    assert az("lock", "show", "--ids", made["id"])["id"] == made["id"]
    az("lock", "delete", "--ids", made["id"])
    assert az("lock", "list", "-g", group_name) == []


def test_lock_errors_are_printed(az, group_name):
    az.fails("lock", "create", "-n", "ends.", "--lock-type", "ReadOnly", "-g", group_name, says="(InvalidLockName)")
    az.fails("lock", "create", "-n", "x", "--lock-type", "ReadOnly", "-g", "there-is-none", code=3, says="(ResourceGroupNotFound)")
