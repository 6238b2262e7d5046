"""Just-in-time access with the stock clients: `az security jit-policy`, `az rest`, and the SDK's `initiate`."""

import json
import uuid

import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.security import SecurityCenter
from azure.mgmt.security.v2020_01_01.models import (JitNetworkAccessPolicy, JitNetworkAccessPolicyInitiatePort,
                                                    JitNetworkAccessPolicyInitiateRequest,
                                                    JitNetworkAccessPolicyInitiateVirtualMachine,
                                                    JitNetworkAccessPolicyVirtualMachine, JitNetworkAccessPortRule)

from support import RESOURCES, ROLES

JIT = "2020-01-01"
# Nothing listens at it on the demo's machines.
PORT = 3389


@pytest.fixture(scope="module")
def security(ready, credential):
    with SecurityCenter(credential, ready.subscription_id, base_url=ready.url,
                        credential_scopes=[f"{ready.url}/.default"]) as made:
        yield made.jit_network_access_policies


@pytest.fixture
def policy(ready, api, group, group_name):
    """A policy about a machine of the demo, in a group of its own."""
    path = f"{group}/providers/Microsoft.Security/locations/home/jitNetworkAccessPolicies/default"
    ports = [{"number": PORT, "protocol": "*", "allowedSourceAddressPrefix": "*", "maxRequestAccessDuration": "PT3H"}]
    machine = ready.machine("web").id
    body = {"kind": "Basic", "properties": {"virtualMachines": [{"id": machine, "ports": ports}], "sekisho": {"onlyWay": "close"}}}
    made = api.must("PUT", path, JIT, body)
    yield made
    api.must("DELETE", path, JIT)


def test_az_lists_and_shows_policies_and_asks_with_rest(az, ready, policy, group_name):
    for where in ([], ["-g", group_name], ["-l", "home"], ["-g", group_name, "-l", "home"]):
        found = az("security", "jit-policy", "list", *where)
        assert policy["id"] in [p["id"] for p in found], where
    shown = az("security", "jit-policy", "show", "-g", group_name, "-l", "home", "-n", "default")
    assert (shown["kind"], shown["location"], shown["provisioningState"]) == ("Basic", "home", "Succeeded")
    assert shown["virtualMachines"][0]["ports"][0]["maxRequestAccessDuration"] == "PT3H"
    az.fails("security", "jit-policy", "show", "-g", group_name, "-l", "home", "-n", "none", code=3, says="(ResourceNotFound)")


def test_the_sdk_writes_a_policy_and_asks_for_a_port(security, ready, policy, group_name):
    machine = ready.machine("web").id
    rule = JitNetworkAccessPortRule(number=PORT, protocol="TCP", allowed_source_address_prefixes=["10.0.0.0/8", "fd00::/8"],
                                    max_request_access_duration="PT1H")
    body = JitNetworkAccessPolicy(kind="Basic", virtual_machines=[
        JitNetworkAccessPolicyVirtualMachine(id=machine, ports=[rule])])
    made = security.create_or_update(group_name, "home", "default", body)
    assert made.virtual_machines[0].ports[0].allowed_source_address_prefixes == ["10.0.0.0/8", "fd00::/8"]
    assert "default" in [p.name for p in security.list_by_resource_group_and_region(group_name, "home")]
    assert policy["id"] in [p.id for p in security.list()]

    def ask(source, minutes):
        from datetime import datetime, timedelta, timezone

        end = datetime.now(timezone.utc) + timedelta(minutes=minutes)
        port = JitNetworkAccessPolicyInitiatePort(number=PORT, allowed_source_address_prefix=source, end_time_utc=end)
        return security.initiate(group_name, "home", "default", JitNetworkAccessPolicyInitiateRequest(
            justification="A test", virtual_machines=[JitNetworkAccessPolicyInitiateVirtualMachine(id=machine, ports=[port])]))

    request = ask("10.1.0.0/16", 30)
    port = request.virtual_machines[0].ports[0]
    assert (port.status, port.status_reason, port.number) == ("Initiated", "UserRequested", PORT)
    assert request.justification == "A test" and port.end_time_utc > request.start_time_utc
    newer = ask("10.1.0.0/16", 40)
    requests = security.get(group_name, "home", "default").requests
    assert [r.virtual_machines[0].ports[0].status_reason for r in requests] == ["UserRequested", "NewerRequestInitiated"]
    assert requests[0].start_time_utc == newer.start_time_utc
    for source, minutes, code in (("192.0.2.1", 30, "JitSourceNotAllowed"), ("10.1.0.1", 90, "JitAccessPolicyValidationFailed")):
        with pytest.raises(HttpResponseError) as caught:
            ask(source, minutes)
        assert caught.value.error.code == code
    security.create_or_update(group_name, "home", "default", made)
    assert len(security.get(group_name, "home", "default").requests) == 2, "a write of the policy loses none"


def test_a_policy_of_another_name_is_gone_when_it_is_deleted(security, api, group, group_name):
    assert api.get(group, RESOURCES).status_code == 200
    security.create_or_update(group_name, "home", "brief", JitNetworkAccessPolicy(virtual_machines=[]))
    security.delete(group_name, "home", "brief")
    security.delete(group_name, "home", "brief")
    assert "brief" not in [p.name for p in security.list_by_resource_group(group_name)]


def test_what_users_may_be_given_is_beside_azures_fields_and_disturbs_no_client(az, security, api, ready, group, group_name, own_object_id):
    machine = ready.machine("web").id
    # Virtual Machine Administrator Login: nobody offers what they may not do themselves.
    role = "/providers/Microsoft.Authorization/roleDefinitions/1c0163c0-47e6-4577-8991-ea5c82e286e4"
    assignment = f"{machine}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    api.must("PUT", assignment, ROLES, {"properties": {
        "roleDefinitionId": role, "principalId": own_object_id, "principalType": "ServicePrincipal"}})
    path = f"{group}/providers/Microsoft.Security/locations/home/jitNetworkAccessPolicies/users"
    offered = {"sudo": {"maxRequestAccessDuration": "PT1H", "commands": ["/usr/bin/id"]}}
    api.must("PUT", path, JIT, {"properties": {"virtualMachines": [{"id": machine, "ports": []}], "sekisho": offered}})
    ask = {"virtualMachines": [{"id": machine, "sekisho": {"user": "nobody-here", "sudo": {"duration": "PT5M"}}}]}
    url = f"{path}/initiate?api-version={JIT}"
    made = az("rest", "--method", "post", "--url", url, "--body", json.dumps(ask))
    given = made["virtualMachines"][0]["sekisho"]["elevations"][0]
    assert (given["kind"], given["user"], given["runAs"], given["status"]) == ("sudo", "nobody-here", ["root"], "Initiated")
    shown = az("security", "jit-policy", "show", "-g", group_name, "-l", "home", "-n", "users")
    assert shown["virtualMachines"][0]["ports"] == [] and len(shown["requests"]) == 1
    kept = security.get(group_name, "home", "users")
    assert kept.requests[0].virtual_machines[0].ports == []
    # A client that knows Azure's fields alone ends what it does not write.
    security.create_or_update(group_name, "home", "users", JitNetworkAccessPolicy(kind="Basic", virtual_machines=[]))
    after = api.must("GET", path, JIT)["properties"]
    assert "sekisho" not in after and after["requests"][0]["virtualMachines"][0]["sekisho"]["elevations"][0]["status"] == "Revoked"
    api.must("DELETE", path, JIT)
    api.must("DELETE", assignment, ROLES)
