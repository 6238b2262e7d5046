"""Fixtures: one demo, one `az` that is logged in, one resource group per test module that is gone afterwards."""

import os
import uuid

import pytest

from support import FLEET, NETWORK, RESOURCES, ROLES, Administrator, Api, Az, Machine, Ready, enrolment_token, token_of


@pytest.fixture(scope="session")
def ready():
    found = Ready.load()
    # The SDKs and `requests` trust this authority and nothing else.
    os.environ["REQUESTS_CA_BUNDLE"] = found.ca
    return found


@pytest.fixture(scope="session")
def api(ready):
    """Raw HTTPS as the demo's service principal."""
    return Api(ready, token_of(ready))


@pytest.fixture(scope="session")
def anonymous(ready):
    return Api(ready)


@pytest.fixture(scope="session")
def az(ready, tmp_path_factory):
    """`az`, registered and logged in as the demo's service principal, whose defaults no test changes."""
    made = Az(ready, tmp_path_factory.mktemp("azure"))
    made.register()
    made.login()
    return made


@pytest.fixture(scope="session")
def credential(ready):
    from azure.identity import ClientSecretCredential

    return ClientSecretCredential(
        ready.tenant, ready.app_id, ready.password, authority=ready.url, disable_instance_discovery=True
    )


@pytest.fixture(scope="session")
def administrator(ready):
    """A person who may change the directory; gone at the end."""
    made = Administrator(ready)
    yield made
    made.leave()


@pytest.fixture(scope="session")
def own_object_id(ready, api):
    everybody = api.must("GET", "/v1.0/servicePrincipals")["value"]
    return next(p["id"] for p in everybody if p["appId"] == ready.app_id)


@pytest.fixture
def owner_of_everything(api, administrator, own_object_id):
    """The demo's principal owns its subscription only; what is above takes more."""
    assignment = administrator.own(own_object_id)
    yield
    administrator.api.must("DELETE", assignment, ROLES)


@pytest.fixture(scope="session", autouse=True)
def short_lived_token(ready, api):
    """An enrolment token made before everything else: it has expired when the tests that need it come."""
    path, join_string = enrolment_token(api, ready.group, ttlSeconds=60)
    yield join_string
    api.must("DELETE", path, FLEET)


@pytest.fixture(scope="module")
def group(ready, api, request):
    """A fresh resource group: its id."""
    name = f"t-{request.module.__name__.removeprefix('test_')}-{uuid.uuid4().hex[:6]}"
    path = f"{ready.subscription}/resourceGroups/{name}"
    api.must("PUT", path, RESOURCES, {"location": "home"})
    yield path
    answer = api.delete(path, RESOURCES)
    assert answer.status_code in (200, 202, 204), answer.text
    if answer.status_code == 202:
        api.finish(answer)
    assert api.get(path, RESOURCES).status_code == 404


@pytest.fixture(scope="module")
def group_name(group):
    return group.rsplit("/", 1)[1]


@pytest.fixture(scope="session")
def machines(ready):
    """The machines by name, each with a prober in its namespace."""
    found = {m["name"]: Machine(m["name"], m["netns"], m["address"]) for m in ready.data["machines"]}
    yield found
    for machine in found.values():
        machine.close()


@pytest.fixture(scope="session")
def probe(machines):
    """Whether a new TCP connection from a machine to an address gets through within a second."""

    def run(source, address, port, wait=1.0):
        return bool(machines[source].ask("connect", address, port, wait)["ok"])

    return run


@pytest.fixture
def nic_kept(ready, api):
    """Gives a function that remembers a NIC; it is put back as it was after the test."""
    kept = {}

    def remember(path):
        if path not in kept:
            kept[path] = api.must("GET", path, NETWORK)
        return kept[path]

    yield remember
    for path, body in kept.items():
        api.must("PUT", path, NETWORK, body)
