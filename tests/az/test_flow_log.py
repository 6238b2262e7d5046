"""`az network watcher flow-log`, as a user types it."""

import pytest


@pytest.fixture(scope="module")
def watcher(az, group_name):
    """Commands find the watcher by the place."""
    az("network", "watcher", "configure", "-g", group_name, "-l", "home", "--enabled", "true")


def test_a_flow_log_is_created_shown_listed_changed_and_deleted(az, ready, watcher):
    storage = f"{ready.group}/providers/Microsoft.Storage/storageAccounts/flowlogs1"
    group = f"{ready.network()}/networkSecurityGroups/demo-nsg"
    made = az("network", "watcher", "flow-log", "create", "-l", "home", "-n", "of-group", "--nsg", group,
              "--storage-account", storage, "--retention", "7", "--log-version", "2")
    assert made["targetResourceId"] == group and made["storageId"] == storage
    assert made["enabled"] is True and made["provisioningState"] == "Succeeded"
    assert made["retentionPolicy"] == {"days": 7, "enabled": True}
    assert made["format"]["version"] == 2 and made["targetResourceGuid"]
    shown = az("network", "watcher", "flow-log", "show", "-l", "home", "-n", "of-group")
    assert shown["id"] == made["id"]
    assert "of-group" in [log["name"] for log in az("network", "watcher", "flow-log", "list", "-l", "home")]
    changed = az("network", "watcher", "flow-log", "update", "-l", "home", "-n", "of-group", "--enabled", "false")
    assert changed["enabled"] is False and changed["targetResourceId"] == group
    az("network", "watcher", "flow-log", "delete", "-l", "home", "-n", "of-group")
    assert "of-group" not in [log["name"] for log in az("network", "watcher", "flow-log", "list", "-l", "home")]


def test_a_virtual_network_can_be_the_target_and_what_is_not_there_cannot(az, ready, watcher):
    storage = f"{ready.group}/providers/Microsoft.Storage/storageAccounts/flowlogs1"
    network = f"{ready.network()}/virtualNetworks/demo-vnet"
    made = az("network", "watcher", "flow-log", "create", "-l", "home", "-n", "of-network", "--vnet", network,
              "--storage-account", storage)
    assert made["targetResourceId"] == network
    az("network", "watcher", "flow-log", "delete", "-l", "home", "-n", "of-network")
    az.fails("network", "watcher", "flow-log", "create", "-l", "home", "-n", "of-nothing", "--vnet", f"{network}x",
             "--storage-account", storage, says="InvalidResourceReference")
