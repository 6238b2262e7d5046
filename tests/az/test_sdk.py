"""The SDKs for Python: one call per operation group, paging, typed errors, preconditions."""

import uuid

import pytest
from azure.core.exceptions import (ClientAuthenticationError, HttpResponseError, ResourceExistsError,
                                   ResourceNotFoundError)
from azure.identity import ClientSecretCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.resource import ResourceManagementClient, SubscriptionClient

from support import NETWORK, READER, join_machine


def client(kind, ready, credential, **more):
    return kind(credential, ready.subscription_id, base_url=ready.url, credential_scopes=[f"{ready.url}/.default"], **more)


@pytest.fixture(scope="module")
def network(ready, credential):
    with client(NetworkManagementClient, ready, credential) as made:
        yield made


@pytest.fixture(scope="module")
def compute(ready, credential):
    with client(ComputeManagementClient, ready, credential) as made:
        yield made


@pytest.fixture(scope="module")
def resource(ready, credential):
    with client(ResourceManagementClient, ready, credential) as made:
        yield made


@pytest.fixture(scope="module")
def authorization(ready, credential):
    with client(AuthorizationManagementClient, ready, credential) as made:
        yield made


def test_resource_groups(resource, ready):
    name = f"t-sdk-{uuid.uuid4().hex[:6]}"
    made = resource.resource_groups.create_or_update(name, {"location": "home", "tags": {"a": "b"}})
    assert (made.name, made.properties.provisioning_state) == (name, "Succeeded")
    assert resource.resource_groups.check_existence(name) is True
    assert resource.resource_groups.update(name, {"tags": {"c": "d"}}).tags["c"] == "d"
    assert name in [g.name for g in resource.resource_groups.list()]
    assert [g.name for g in resource.resource_groups.list(filter="tagName eq 'c' and tagValue eq 'd'")] == [name]
    resource.resource_groups.begin_delete(name).result()
    assert resource.resource_groups.check_existence(name) is False
    with pytest.raises(ResourceNotFoundError) as caught:
        resource.resource_groups.get(name)
    assert caught.value.error.code == "ResourceGroupNotFound"


def test_resources_providers_and_tags(resource, ready, group, group_name, network):
    network.network_security_groups.begin_create_or_update(group_name, "generic", {"location": "home"}).result()
    assert "generic" in [r.name for r in resource.resources.list_by_resource_group(group_name)]
    assert {m["name"] for m in ready.data["machines"]} <= {
        r.name for r in resource.resources.list(filter="resourceType eq 'Microsoft.Compute/virtualMachines'")}
    path = f"{group}/providers/Microsoft.Network/networkSecurityGroups/generic"
    found = resource.resources.get_by_id(path, NETWORK)
    assert found.id == path and found.properties["defaultSecurityRules"]
    assert resource.providers.get("Microsoft.Network").registration_state == "Registered"
    assert "Microsoft.Compute" in [p.namespace for p in resource.providers.list()]
    tags = resource.tags.begin_create_or_update_at_scope(path, {"properties": {"tags": {"x": "y"}}}).result()
    assert tags.properties.tags == {"x": "y"}
    assert resource.tags.get_at_scope(path).properties.tags == {"x": "y"}
    resource.resources.begin_delete_by_id(path, NETWORK).result()


def test_subscriptions_tenants_and_locations(ready, credential):
    made = SubscriptionClient(credential, base_url=ready.url, credential_scopes=[f"{ready.url}/.default"])
    assert [s.subscription_id for s in made.subscriptions.list()] == [ready.subscription_id]
    assert made.subscriptions.get(ready.subscription_id).state == "Enabled"
    assert "home" in [place.name for place in made.subscriptions.list_locations(ready.subscription_id)]
    assert [t.tenant_id for t in made.tenants.list()] == [ready.tenant]


def test_security_groups_and_rules(network, group_name):
    nsg = network.network_security_groups.begin_create_or_update(
        group_name, "sdk", {"location": "home", "properties": {"securityRules": [{"name": "web", "properties": {
            "priority": 100, "access": "Allow", "direction": "Inbound", "protocol": "Tcp", "sourceAddressPrefix": "*",
            "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "443"}}]}}).result()
    assert [r.name for r in nsg.security_rules] == ["web"]
    assert len(nsg.default_security_rules) == 6
    rule = network.security_rules.begin_create_or_update(group_name, "sdk", "many", {
        "properties": {"priority": 200, "access": "Deny", "direction": "Outbound", "protocol": "*", "sourceAddressPrefix": "*",
                       "sourcePortRange": "*", "destinationAddressPrefixes": ["10.0.0.0/8", "fd00::/8"],
                       "destinationPortRanges": ["80", "8000-8080"]}}).result()
    assert list(rule.destination_address_prefixes) == ["10.0.0.0/8", "fd00::/8"]
    assert rule.destination_address_prefix is None
    assert {r.name for r in network.security_rules.list(group_name, "sdk")} == {"many", "web"}
    assert len(list(network.default_security_rules.list(group_name, "sdk"))) == 6
    assert network.default_security_rules.get(group_name, "sdk", "DenyAllInBound").priority == 65500
    assert network.network_security_groups.update_tags(group_name, "sdk", {"tags": {"a": "b"}}).tags == {"a": "b"}
    assert "sdk" in [n.name for n in network.network_security_groups.list_all()]
    network.security_rules.begin_delete(group_name, "sdk", "many").result()
    network.network_security_groups.begin_delete(group_name, "sdk").result()
    network.network_security_groups.begin_delete(group_name, "sdk").result()


def test_shareable_links_of_a_bastion_host(network, ready, group_name):
    network.bastion_hosts.begin_create_or_update(group_name, "links", {
        "location": "home", "sku": {"name": "Standard"}, "properties": {"enableShareableLink": True}}).result()
    asked = {"vms": [{"vm": {"id": ready.machine("web").id}}]}
    # Whoever owns a machine may not log in to it for that alone, and nobody lends what they lack.
    with pytest.raises(HttpResponseError) as refused:
        network.begin_put_bastion_shareable_link(group_name, "links", {
            "vms": [{"vm": {"id": ready.machine("web").id}, "sekisho": {"account": "root"}}]}).result()
    assert refused.value.status_code == 403 and "loginAsAdmin" in str(refused.value)
    assert list(network.get_bastion_shareable_link(group_name, "links", asked)) == []
    network.begin_delete_bastion_shareable_link(group_name, "links", asked).result()
    network.begin_delete_bastion_shareable_link_by_token(group_name, "links", {"tokens": ["x"]}).result()
    network.bastion_hosts.begin_delete(group_name, "links").result()


def test_application_groups_networks_subnets_and_interfaces(network, group_name):
    asg = network.application_security_groups.begin_create_or_update(group_name, "sdk", {"location": "home"}).result()
    assert asg.provisioning_state == "Succeeded"
    assert "sdk" in [a.name for a in network.application_security_groups.list_all()]
    vnet = network.virtual_networks.begin_create_or_update(group_name, "sdk", {
        "location": "home", "properties": {"addressSpace": {"addressPrefixes": ["10.3.0.0/16"]}}}).result()
    assert vnet.address_space.address_prefixes == ["10.3.0.0/16"]
    subnet = network.subnets.begin_create_or_update(group_name, "sdk", "a", {"properties": {"addressPrefix": "10.3.1.0/24"}}).result()
    assert [s.name for s in network.subnets.list(group_name, "sdk")] == ["a"]
    nic = network.network_interfaces.begin_create_or_update(group_name, "sdk", {"location": "home", "properties": {
        "ipConfigurations": [{"name": "one", "properties": {
            "subnet": {"id": subnet.id}, "applicationSecurityGroups": [{"id": asg.id}]}}]}}).result()
    assert nic.ip_configurations[0].subnet.id == subnet.id
    assert nic.ip_configurations[0].application_security_groups[0].id == asg.id
    assert [c.id for c in network.subnets.get(group_name, "sdk", "a").ip_configurations] == [nic.ip_configurations[0].id]
    with pytest.raises(HttpResponseError) as caught:
        network.subnets.begin_delete(group_name, "sdk", "a").result()
    assert caught.value.error.code == "InUseSubnetCannotBeDeleted"
    network.network_interfaces.begin_delete(group_name, "sdk").result()
    network.subnets.begin_delete(group_name, "sdk", "a").result()
    network.virtual_networks.begin_delete(group_name, "sdk").result()
    network.application_security_groups.begin_delete(group_name, "sdk").result()


def test_effective_rules_are_long_running(network, ready):
    nic = ready.machine("db").nicId.rsplit("/", 1)[1]
    found = network.network_interfaces.begin_list_effective_network_security_groups(ready.group_name, nic).result()
    assert found.value[0].network_security_group.id.endswith("/demo-nsg")
    assert "defaultSecurityRules/DenyAllInBound" in [r.name for r in found.value[0].effective_security_rules]
    routes = network.network_interfaces.begin_get_effective_route_table(ready.group_name, nic).result()
    assert ["10.77.0.0/24"] in [r.address_prefix for r in routes.value]


def test_virtual_machines(compute, ready, api, group, group_name):
    names = {m["name"] for m in ready.data["machines"]}
    assert names <= {v.name for v in compute.virtual_machines.list_all()}
    assert names == {v.name for v in compute.virtual_machines.list(ready.group_name)}
    shown = compute.virtual_machines.get(ready.group_name, "web", expand="instanceView")
    assert "PowerState/running" in [s.code for s in shown.instance_view.statuses]
    assert shown.network_profile.network_interfaces[0].id == ready.machine("web").nicId
    view = compute.virtual_machines.instance_view(ready.group_name, "web")
    assert view.vm_agent.vm_agent_version
    join_machine(api, group, "sdk-machine")
    changed = compute.virtual_machines.begin_update(group_name, "sdk-machine", {"tags": {"a": "b"}}).result()
    assert changed.tags == {"a": "b"}
    changed.tags = {"c": "d"}
    assert compute.virtual_machines.begin_create_or_update(group_name, "sdk-machine", changed).result().tags == {"c": "d"}
    compute.virtual_machines.begin_delete(group_name, "sdk-machine").result()
    with pytest.raises(ResourceNotFoundError):
        compute.virtual_machines.get(group_name, "sdk-machine")
    with pytest.raises(HttpResponseError) as caught:
        compute.virtual_machines.begin_create_or_update(group_name, "new", {"location": "home"}).result()
    assert caught.value.error.code == "OperationNotAllowed"


def test_roles(authorization, ready, group):
    [reader] = authorization.role_definitions.list(ready.subscription, filter="roleName eq 'Reader'")
    assert reader.name == READER
    assert authorization.role_definitions.get(ready.subscription, READER).role_name == "Reader"
    assert authorization.role_definitions.get_by_id(reader.id).role_name == "Reader"
    name = str(uuid.uuid4())
    custom = authorization.role_definitions.create_or_update(group, name, {"properties": {
        "roleName": f"SDK {name[:6]}", "assignableScopes": [group], "permissions": [{"actions": ["*/read"]}]}})
    assert custom.role_type == "CustomRole"
    assignment = str(uuid.uuid4())
    who = str(uuid.uuid4())
    made = authorization.role_assignments.create(group, assignment, {"properties": {
        "roleDefinitionId": custom.id, "principalId": who, "principalType": "User"}})
    assert (made.principal_id, made.scope) == (who, group)
    with pytest.raises(ResourceExistsError) as caught:
        authorization.role_assignments.create(group, str(uuid.uuid4()), {"properties": {
            "roleDefinitionId": custom.id, "principalId": who, "principalType": "User"}})
    assert caught.value.error.code == "RoleAssignmentExists"
    assert assignment in [a.name for a in authorization.role_assignments.list_for_scope(group, filter=f"assignedTo('{who}')")]
    assert assignment in [a.name for a in authorization.role_assignments.list_for_subscription(filter=f"principalId eq '{who}'")]
    assert assignment not in [a.name for a in authorization.role_assignments.list_for_scope(ready.subscription, filter="atScope()")]
    assert assignment in [a.name for a in authorization.role_assignments.list_for_scope(ready.subscription)]
    with pytest.raises(HttpResponseError):
        authorization.role_definitions.delete(group, name)
    deleted = authorization.role_assignments.delete(group, assignment)
    assert deleted.name == assignment
    assert authorization.role_assignments.delete(group, assignment) is None
    assert authorization.role_definitions.delete(group, name).name == name
    assert isinstance(list(authorization.deny_assignments.list()), list)


def test_pages_of_a_collection_follow_one_another_without_gaps(api, network, group, group_name):
    names = sorted(f"page-{i:02}" for i in range(7))
    for name in names:
        api.must("PUT", f"{group}/providers/Microsoft.Network/applicationSecurityGroups/{name}", NETWORK, {"location": "home"})
    collection = f"{group}/providers/Microsoft.Network/applicationSecurityGroups"
    pages, path = [], f"{collection}?$top=3&api-version={NETWORK}"
    while path:
        body = api.must("GET", path)
        pages.append([v["name"] for v in body["value"]])
        path = body.get("nextLink")
        assert path is None or path.startswith("https://")
    assert pages == [names[0:3], names[3:6], names[6:7]]
    assert api.get(f"{collection}?$top=0&api-version={NETWORK}").status_code == 400
    assert api.get(f"{collection}?$top=x&api-version={NETWORK}").status_code == 400
    assert api.get(f"{collection}?$skiptoken=%21&api-version={NETWORK}").json()["error"]["code"] == "InvalidSkipToken"
    assert [a.name for a in network.application_security_groups.list(group_name)] == names
    for name in names:
        api.must("DELETE", f"{collection}/{name}", NETWORK)


def test_preconditions_raise_typed_errors(network, group_name):
    made = network.network_security_groups.begin_create_or_update(group_name, "etag", {"location": "home"}).result()
    with pytest.raises(HttpResponseError) as caught:
        network.network_security_groups.begin_create_or_update(
            group_name, "etag", {"location": "home"}, headers={"If-Match": '"old"'}).result()
    assert (caught.value.status_code, caught.value.error.code) == (412, "PreconditionFailed")
    changed = network.network_security_groups.begin_create_or_update(
        group_name, "etag", {"location": "home", "tags": {"a": "b"}}, headers={"If-Match": made.etag}).result()
    assert changed.etag != made.etag
    with pytest.raises(HttpResponseError) as caught:
        network.network_security_groups.begin_delete(group_name, "etag", headers={"If-Match": made.etag}).result()
    assert caught.value.status_code == 412
    network.network_security_groups.begin_delete(group_name, "etag", headers={"If-Match": changed.etag}).result()


def test_a_client_that_names_no_scope_still_gets_in(ready, credential):
    made = NetworkManagementClient(credential, ready.subscription_id, base_url=ready.url)
    assert "demo-nsg" in [n.name for n in made.network_security_groups.list_all()]


def test_a_wrong_secret_raises_an_authentication_error(ready):
    wrong = ClientSecretCredential(ready.tenant, ready.app_id, "wrong", authority=ready.url, disable_instance_discovery=True)
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        next(iter(client(NetworkManagementClient, ready, wrong).network_security_groups.list_all()))


def test_what_the_server_refuses_is_an_http_error_with_target_and_details(network, group_name):
    with pytest.raises(HttpResponseError) as caught:
        network.network_security_groups.begin_create_or_update(group_name, "bad", {
            "location": "home", "properties": {"securityRules": [{"name": "x", "properties": {
                "priority": 1, "access": "Allow", "direction": "Inbound", "protocol": "Tcp", "sourceAddressPrefix": "*",
                "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "1"}}]}}).result()
    assert caught.value.status_code == 400
    assert "priority" in caught.value.error.target
    with pytest.raises(ResourceNotFoundError):
        network.network_security_groups.get(group_name, "bad")
