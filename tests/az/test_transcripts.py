"""The requests that the stock `az` 2.91 was recorded to send, replayed in their order against the server.

`shared/arm/az-2.91-transcripts.jsonl` is one session: a command finds what an earlier one made. Of the recorded bodies
those keys are stripped that the recording mock had added (contract 3).
"""

import json
import re
import uuid

import pytest

from support import COMPUTE, NETWORK, require_shared, shared_arm

FILE = shared_arm() / "az-2.91-transcripts.jsonl"
SUBSCRIPTION = "33333333-3333-3333-3333-333333333333"
TENANT = "11111111-1111-1111-1111-111111111111"
PERSON = "22222222-2222-2222-2222-222222222222"

# Commands of types that are not served, by the first words of the command or a word of the path.
FOREIGN = re.compile(
    r"(?i)conditionalAccess|roleEligibilitySchedule|roleAssignmentSchedule|firewall|bastion|"
    r"publicIPAddresses|routeTables|networkWatchers|serviceTags|virtualAppliance|Microsoft\.(?!Network|Compute|Authorization|Management|"
    r"Resources|Insights/event)|/compute/(?!virtualMachines)|virtualMachines/[^/]+/[^/?]+|deployments|policy|"
    r"Microsoft\.Compute/(images|skus|locations|disks|galleries|diskEncryptionSets)|Microsoft\.Insights/(?!event)|oauth2|"
    r"/operations|exportTemplate|/v1/workspaces|metadata/identity|/keys"
)

# What the server answers otherwise than the recording mock, with the reason.
OTHERWISE = {
    ("GET", "/v1.0/me"): ((400,), "the demo's caller is a program"),
    ("POST", "/v1.0/applications"): ((403,), "the demo's principal may not change the directory"),
    ("POST", "/v1.0/applications/{guid}/removePassword"): ((403, 404), "as above"),
    ("POST", "/v1.0/applications/{guid}/addPassword"): ((403, 404), "as above"),
    ("DELETE", "{group}/providers/Microsoft.Network/networkSecurityGroups/nsg1"): (
        (400,), "a subnet of the session still names it, as in Azure; the mock did not look"),
    ("GET", "/v1.0/users/alice@contoso.test"): ((404,), "there is no Alice in the demo"),
}


def commands():
    require_shared(FILE)
    out, seen_second_session = [], False
    for number, line in enumerate(FILE.read_text().splitlines()):
        recorded = json.loads(line)
        requests = [r for r in recorded["requests"] if "/oauth2/" not in r["path"]]
        if not requests or any(FOREIGN.search(r["path"]) for r in requests):
            continue
        # `group delete` ends the part of the session that concerns us.
        if recorded["command"].startswith("az group create") and seen_second_session:
            break
        seen_second_session |= recorded["command"].startswith("az group delete")
        out.append((number, recorded["command"], requests))
    return out


COMMANDS = commands() if FILE.exists() else []


def test_the_transcripts_are_there():
    require_shared(FILE)
    assert len(COMMANDS) >= 50


STRIPPED = {"provisioningState", "scope", "createdOn"}


def stripped(value, root=True):
    if isinstance(value, dict):
        inner = {k: stripped(v, False) for k, v in value.items() if k not in STRIPPED}
        if not root and "properties" in inner and "id" in inner and "name" in inner:
            inner = {k: v for k, v in inner.items() if k not in ("id", "etag", "type")}
        return inner
    if isinstance(value, list):
        return [stripped(v, False) for v in value]
    return value


@pytest.fixture(scope="module")
def session(ready, api, own_object_id, request):
    """The recorded session's names, bound to a group of this run that looks like the recorded `rg1`."""
    name = f"t-replay-{uuid.uuid4().hex[:6]}"
    yield {"rg1": name, "guids": {}}
    path = f"{ready.subscription}/resourceGroups/{name}"
    api.delete(path, "2024-11-01")
    for made in request.node.stash.get(MADE, []):
        api.delete(made, "2022-04-01")
    assert api.get(path, "2024-11-01").status_code == 404


MADE = pytest.StashKey()


@pytest.mark.parametrize(("number", "command", "requests"), COMMANDS, ids=[c[1][:70] for c in COMMANDS])
def test_a_recorded_command_is_answered(number, command, requests, ready, api, session, request):
    def bind(text):
        text = text.replace(SUBSCRIPTION, ready.subscription_id).replace(TENANT, ready.tenant)
        text = text.replace("/rg1", f"/{session['rg1']}").replace("'rg1'", f"'{session['rg1']}'").replace("%27rg1%27", f"%27{session['rg1']}%27")
        # The mock's machine and NIC are stood in for by one of the demo's.
        web, nic = ready.machine("web").id, ready.machine("web").nicId
        text = text.replace(f"{ready.subscription}/resourceGroups/{session['rg1']}/providers/Microsoft.Compute/virtualMachines/vm1", web)
        if "effective" in text or " vm " in f" {command} ":
            text = text.replace(f"{ready.subscription}/resourceGroups/{session['rg1']}/providers/Microsoft.Network/networkInterfaces/nic1", nic)
        # Names of role assignments and definitions are random in each run.
        return re.sub(r"(roleAssignments|roleDefinitions)/([0-9a-f-]{36})(?=$|[?])",
                      lambda m: f"{m[1]}/{session['guids'].setdefault(m[2], str(uuid.uuid4()))}", text)

    for recorded in requests:
        method, path, query = recorded["method"], bind(recorded["path"]), bind(recorded["query"])
        if method == "DELETE" and "/virtualMachines/" in path:
            return  # a machine of the demo stays; test_az deletes one that joined for it
        body = recorded["body"] if isinstance(recorded["body"], dict) else None
        if body is not None:
            body = json.loads(bind(json.dumps(stripped(body))))
            if "roleDefinitions/" in path:
                body["properties"]["roleName"] = f"{body['properties']['roleName']} {uuid.uuid4().hex[:6]}"
        if method == "PUT" and "/virtualMachines/" in path:
            body = {**api.must("GET", path, COMPUTE), "tags": {}}
        answer = api.request(method, path + (f"?{query}" if query else ""), None, body)
        if method == "PUT" and ("roleAssignments/" in path or "roleDefinitions/" in path):
            request.node.parent.stash.setdefault(MADE, []).append(path)
        template = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "{guid}", path)
        template = template.replace(f"/subscriptions/{{guid}}/resourceGroups/{session['rg1']}", "{group}")
        expected = OTHERWISE.get((method, template))
        if expected:
            assert answer.status_code in expected[0], f"{method} {path}: {answer.status_code} {answer.text}"
            assert answer.json()["error"]["code"]
            continue
        assert answer.ok, f"{method} {path}?{query}: {answer.status_code} {answer.text}"
        if method == "HEAD":
            assert answer.status_code == 204 and not answer.content
        elif answer.status_code == 202:
            assert api.finish(answer).ok
        elif method == "GET":
            shown = answer.json()
            if isinstance(recorded.get("body"), type(None)) and path.rsplit("/", 1)[1].lower() in (
                "resourcegroups", "providers", "resources", "virtualmachines", "networksecuritygroups", "roledefinitions",
                "roleassignments", "denyassignments", "users", "groups", "applications", "serviceprincipals", "values",
                "eventcategories", "locations", "subnets", "virtualnetworks", "applicationsecuritygroups",
            ):
                assert isinstance(shown["value"], list)
        if method == "PUT" and path.startswith(ready.subscription) and "securityRules" in path:
            for field, value in body["properties"].items():
                assert answer.json()["properties"][field] == value


def test_the_replay_left_its_network_as_az_would_have(ready, api, session):
    # The session deleted its group; a new one of the same name starts empty.
    path = f"{ready.subscription}/resourceGroups/{session['rg1']}"
    assert api.get(path, "2024-11-01").status_code == 404
    assert api.get(f"{path}/providers/Microsoft.Network/virtualNetworks/vnet1", NETWORK).status_code == 404
