"""Everything the OpenAPI document describes, asked with generated requests by four identities: nobody, a program
without any role, a Reader and an Owner of everything.

Nothing answers 5xx; what is answered is described; and whoever has no right gets no other status than the golden
matrix of the Rust tests says, beside the refusals of a request that is malformed. The examples follow from a fixed
seed. Left out, because they would end or hang the run: `GET /api/events` (never ends).
"""

import copy
import json
import re
import uuid
from pathlib import Path

import pytest
import schemathesis
from hypothesis.errors import Unsatisfiable
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup

from support import FLEET, NETWORK, OWNER, READER, RESOURCES, ROLES, Administrator, Api, From, Ready, token_of

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = (ROOT / "crates/server/tests/golden/authz-matrix.txt").read_text()

RESOURCE = ("/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.Network"
            "/networkSecurityGroups/{networkSecurityGroupName}")


def document():
    """The document, with the id of any resource spelled as that of a security group: a generated path has no slashes in
    a parameter."""
    found = json.loads((ROOT / "portal/openapi.json").read_text())
    paths = {}
    for path, item in found["paths"].items():
        if path.startswith("/{resourceId}"):
            path = path.replace("/{resourceId}", RESOURCE)
            for operation in item.values():
                kept = [p for p in operation["parameters"] if p["name"] != "resourceId"]
                names = re.findall(r"{(\w+)}", RESOURCE)
                operation["parameters"] = kept + [
                    {"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in names]
        paths[path] = item
    return found | {"paths": paths}


DOCUMENT = document()
LEFT_OUT = {("GET", "/api/events")}
# What a request may be refused with before or instead of a look at rights: its form, or a thing that is not there.
MALFORMED = {400, 404, 405, 411, 412, 413, 415, 429}
EXAMPLES = {GenerationMode.POSITIVE: 4, GenerationMode.NEGATIVE: 2}
METHODS = ["get", "head", "post", "put", "patch", "delete"]


def golden_rows():
    """Of each row of the matrix: method, path, and the statuses of nobody and of the program without a role."""
    for line in GOLDEN.splitlines():
        found = re.match(r"(GET|HEAD|PUT|POST|PATCH|DELETE) (\S+) +(\d+)[^|]*\| (\d+)", line)
        if found:
            method, path, nobody, stranger = found.groups()
            # Of some, what is asked stands behind the path.
            path = path.split("?", maxsplit=1)[0]
            # The heading of the matrix says what the short forms stand for.
            path = re.sub(r"^RG(?=/|$)", "S/resourceGroups/rg1", path)
            path = re.sub(r"^MG", "/providers/Microsoft.Management/managementGroups/mg1", path)
            path = re.sub(r"(^|mg1)S(?=/|$)", r"\1/subscriptions/s", path)
            yield method, path, int(nobody), int(stranger)


ROWS = list(golden_rows())


def golden(method, template):
    """The statuses that the matrix shows for an operation: of nobody and of the program without a role."""
    pattern = re.escape(template).replace(r"\{", "{").replace(r"\}", "}")
    pattern = re.compile(re.sub(r"{\w+}", "[^/]+", pattern), re.IGNORECASE)
    rows = [row for row in ROWS if row[0] == method.upper() and pattern.fullmatch(row[1])]
    assert rows, f"the matrix does not ask {method} {template}"
    return {row[2] for row in rows}, {row[3] for row in rows}


def operations():
    """Reads first and removals last, the innermost before what contains it."""
    all_of_them = [
        (method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in METHODS if method in item
    ]
    place = {method.upper(): number for number, method in enumerate(METHODS)}
    depth = {m: -1 if m == "DELETE" else 1 for m in place}
    return sorted(
        (o for o in all_of_them if o not in LEFT_OUT),
        key=lambda o: (place[o[0]], depth[o[0]] * o[1].count("/")),
    )


@pytest.fixture(scope="session")
def ready():
    return Ready.load()


@pytest.fixture(scope="session")
def administrator(ready):
    """Whoever makes the identities; stays until the demo ends."""
    return Administrator(ready)


@pytest.fixture(scope="session")
def tokens(ready, administrator):
    """A token of each identity, by its name."""
    made = {name: administrator.add_principal(f"surface {name}") for name in ("stranger", "reader", "owner")}
    for name, role in (("reader", READER), ("owner", OWNER)):
        path = f"/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
        administrator.api.must("PUT", path, ROLES, {"properties": {
            "principalId": made[name].principal, "principalType": "ServicePrincipal",
            "roleDefinitionId": f"/providers/Microsoft.Authorization/roleDefinitions/{role}"}})
    return {name: token_of(ready, app=who.app, secret=who.secret) for name, who in made.items()}


@pytest.fixture(scope="session")
def owner(ready, tokens):
    return Api(ready, tokens["owner"])


@pytest.fixture(scope="session")
def identities(ready, tokens):
    """A session of each identity. They come from an address of their own, so that their failures do not lock anybody
    else out."""
    sessions = {}
    for name, token in {"nobody": None, **tokens}.items():
        session = Api(ready, token).session
        session.mount("https://", From("127.9.9.9"))
        sessions[name] = session
    yield sessions
    for name, session in sessions.items():
        expected = 401 if name == "nobody" else 200
        answer = session.get(f"{ready.url}/subscriptions?api-version=2022-12-01", timeout=30)
        assert answer.status_code == expected, f"{name} is no longer who it was"


@pytest.fixture(scope="session")
def pins(ready, owner, administrator):
    """What the parameters of paths are most of the time: things that are there."""
    group = f"{ready.subscription}/resourceGroups/surface"
    network = f"{group}/providers/Microsoft.Network"
    put = lambda path, version, body: owner.must("PUT", path, version, body)
    put(group, RESOURCES, {"location": "home"})
    put(f"{network}/networkSecurityGroups/nsg", NETWORK, {"location": "home", "properties": {"securityRules": [
        {"name": "rule", "properties": {
            "priority": 100, "access": "Allow", "direction": "Inbound", "protocol": "Tcp", "sourcePortRange": "*",
            "sourceAddressPrefix": "*", "destinationAddressPrefix": "*", "destinationPortRange": "80"}}]}})
    put(f"{network}/applicationSecurityGroups/asg", NETWORK, {"location": "home"})
    put(f"{network}/virtualNetworks/net", NETWORK, {"location": "home", "properties": {
        "addressSpace": {"addressPrefixes": ["10.99.0.0/16"]},
        "subnets": [{"name": "subnet", "properties": {"addressPrefix": "10.99.1.0/24"}}]}})
    put(f"{group}/providers/Sekisho.Fleet/enrolmentTokens/token", FLEET, {"location": "home", "properties": {}})
    put(f"{group}/providers/Sekisho.Network/serviceTags/Tag", FLEET, {
        "location": "home", "properties": {"addressPrefixes": ["10.98.0.0/16"]}})
    # Only reported, so that it stands in no request's way.
    put(f"{group}/providers/Sekisho.Network/invariants/invariant", FLEET, {"properties": {
        "must": "Deny", "protocol": "Tcp", "sourceAddressPrefix": "Internet", "destinationMachineTags": {},
        "destinationPortRange": "3389", "enforcement": "report"}})
    put(f"{ready.subscription}/providers/Sekisho.Network/invariants/invariant", FLEET, {"properties": {
        "must": "Deny", "protocol": "Tcp", "sourceAddressPrefix": "Internet", "destinationMachineTags": {},
        "destinationPortRange": "3389", "enforcement": "report"}})
    # What is done to it must not be done to those who ask.
    principal = administrator.add_principal("surface bystander").principal
    machine = ready.data["machines"][0]
    return {
        "tenant": ready.tenant, "subscriptionId": ready.subscription_id, "resourceGroupName": "surface",
        "namespace": "Microsoft.Network", "location": "home",
        "networkSecurityGroupName": "nsg", "securityRuleName": "rule", "defaultSecurityRuleName": "DenyAllInBound",
        "applicationSecurityGroupName": "asg", "virtualNetworkName": "net", "subnetName": "subnet",
        "enrolmentTokenName": "token", "serviceTagName": "Tag", "invariantName": "invariant", "eventtypeName": "management", "eventcategorieName": "Security",
        "machineName": machine["name"], "virtualMachineName": machine["name"],
        "networkInterfaceName": f"{machine['name']}-eth0", "providerOperationName": "Microsoft.Network",
        "roleDefinitionName": READER, "id": principal, "memberId": principal,
    }


@pytest.fixture(scope="session")
def versions(owner):
    """The newest api-version of each type, lower case."""
    found = {}
    for provider in owner.must("GET", "/providers", RESOURCES)["value"]:
        for kind in provider["resourceTypes"]:
            found[f"{provider['namespace']}/{kind['resourceType']}".lower()] = kind["apiVersions"][0]
    return found


@pytest.fixture(scope="session")
def schema(ready):
    # Who asks is this file's to say; a made-up cookie would only be refused as a request from another site.
    anonymous = copy.deepcopy(DOCUMENT)
    del anonymous["components"]["securitySchemes"], anonymous["security"]
    for item in anonymous["paths"].values():
        for operation in item.values():
            operation.pop("security", None)
    return schemathesis.openapi.from_dict(anonymous)


def version_of(template, versions):
    """An api-version that the operation at a path knows."""
    words = template.rsplit("/providers/", 1)[-1].split("/")
    kind = "/".join([words[0], *[w for w in words[1:] if not w.startswith("{")]]).lower()
    return versions.get(kind) or versions.get(kind.rsplit("/", 1)[0]) or RESOURCES


def pinned(template, pins):
    names = re.findall(r"{(\w+)}", template)
    out = {name: pins[name] for name in names if name in pins}
    # What machines are is in the demo's own group.
    if "virtualMachineName" in out or "networkInterfaceName" in out or "machineName" in out:
        out |= {"resourceGroupName": "demo"} if "resourceGroupName" in out else {}
    # Of the directory only what is not there is removed: the identities live in it.
    if template.startswith("/v1.0/"):
        out.pop("memberId", None)
    return out


@pytest.mark.parametrize(("method", "template"), operations(), ids=lambda part: str(part))
def test_the_surface(method, template, ready, schema, identities, pins, versions):
    operation = schema[template][method]
    known = golden(method, template)
    open_to_all = DOCUMENT["paths"][template][method.lower()].get("security") == []
    allowed = {
        "nobody": known[0] | (MALFORMED if open_to_all else set()),
        "stranger": known[1] | MALFORMED | {403},
    }
    fixed = pinned(template, pins)
    if method == "DELETE" and template.startswith("/v1.0/"):
        fixed = {}
    asks_version = any(p["name"] == "api-version" for p in DOCUMENT["paths"][template][method.lower()]["parameters"])
    query = {"api-version": version_of(template, versions)} if asks_version else None
    wrong = {}

    def ask(case):
        for name, session in identities.items():
            response = case.call(base_url=ready.url, session=session, verify=ready.ca, timeout=30,
                                 allow_redirects=False)
            said = f"{name}: {response.status_code} {response.text[:300]}"
            request = f"\n  {method} {response.request.url}\n  {(response.request.body or b'')[:500]!r}"
            if response.status_code >= 500:
                wrong.setdefault(f"5xx {name}", said + request)
            elif name in allowed and response.status_code not in allowed[name]:
                wrong.setdefault(f"rights {name} {response.status_code}", f"{said}\n  allowed: {sorted(allowed[name])}{request}")
            # A removal answers 200 without a body, as in Azure, or with an effect; OpenAPI has no word for "or nothing".
            if method == "DELETE" and response.status_code == 200 and not response.content:
                continue
            try:
                operation.validate_response(response)
            except FailureGroup as group:
                for failure in group.exceptions:
                    wrong.setdefault(f"{type(failure).__name__} {name}", f"{failure}\n{said}{request}")

    for mode, examples in EXAMPLES.items():
        strategy = operation.as_strategy(mode, path_parameters=fixed or None, query=query)
        run = given(strategy)(ask)
        run = settings(max_examples=examples, deadline=None, database=None, phases=[Phase.generate],
                       suppress_health_check=list(HealthCheck))(run)
        try:
            seed(1)(run)()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE  # Nothing about this operation can be malformed.
    assert not wrong, "\n\n".join(f"{what}: {said}" for what, said in wrong.items())
