"""Security-admin rules of a network manager, from nothing to a commit and back, by the SDK that `az network manager` stands on."""

import uuid

import pytest
from azure.mgmt.network import NetworkManagementClient

from support import NETWORK


@pytest.fixture
def client(ready, credential):
    with NetworkManagementClient(credential, ready.subscription_id, base_url=ready.url,
                                 credential_scopes=[f"{ready.url}/.default"]) as made:
        yield made


def test_admin_rules_are_made_committed_and_decide_before_groups(api, client, ready):
    group, name = ready.group_name, f"m{uuid.uuid4().hex[:8]}"
    manager = client.network_managers.create_or_update(group, name, {
        "location": "home", "properties": {
            "networkManagerScopes": {"subscriptions": [f"/subscriptions/{ready.subscription_id}"]},
            "networkManagerScopeAccesses": ["SecurityAdmin"]}})
    try:
        made = client.network_groups.create_or_update(group, name, "all", {"properties": {}})
        vnet = next(iter(client.virtual_networks.list(group)), None)
        if vnet:
            member = client.static_members.create_or_update(group, name, "all", "net", {"properties": {"resourceId": vnet.id}})
            assert member.resource_id == vnet.id
        configuration = client.security_admin_configurations.create_or_update(group, name, "baseline", {"properties": {}})
        client.admin_rule_collections.create_or_update(
            group, name, "baseline", "base", {"properties": {"appliesToGroups": [{"networkGroupId": made.id}]}})
        rule = client.admin_rules.create_or_update(group, name, "baseline", "base", "no-telnet", {
            "kind": "Custom", "properties": {
                "protocol": "Tcp", "access": "Deny", "priority": 1, "direction": "Inbound",
                "destinationPortRanges": ["23"]}})
        assert (rule.kind, rule.access, rule.priority) == ("Custom", "Deny", 1)
        commit = client.network_manager_commits.begin_post(group, name, {
            "targetLocations": ["home"], "configurationIds": [configuration.id], "commitType": "SecurityAdmin"}).result()
        assert commit.commit_id
        [active] = client.list_active_security_admin_rules(group, name, {"regions": ["home"]}).value
        assert active.region == "home"
        [status] = client.network_manager_deployment_status.list(group, name, {"regions": ["home"]}).value
        assert (status.deployment_status, status.configuration_ids) == ("Deployed", [configuration.id])
    finally:
        client.network_managers.begin_delete(group, name, force=True).result()
    assert api.get(manager.id, NETWORK).status_code == 404
