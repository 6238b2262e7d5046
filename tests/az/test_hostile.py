"""Bad input of every kind: each is refused with a clear error, nothing is half stored, and the server lives on."""

import datetime
import json
import socket
import ssl
import time
import uuid

import pytest
import requests

from support import (COMPUTE, FLEET, NETWORK, OWNER, READER, RESOURCES, ROLES, Api, elsewhere, enrolment_token, error_of, join_request,
                     poll, token_of)

RULE = {"priority": 100, "access": "Allow", "direction": "Inbound", "protocol": "Tcp", "sourceAddressPrefix": "*",
        "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "80"}


@pytest.fixture(scope="module")
def network(group):
    return f"{group}/providers/Microsoft.Network"


@pytest.fixture(scope="module")
def nsg(api, network):
    path = f"{network}/networkSecurityGroups/kept"
    api.must("PUT", path, NETWORK, {"location": "home", "properties": {"securityRules": [{"name": "one", "properties": RULE}]}})
    return path


@pytest.fixture(autouse=True)
def the_server_lives_and_nothing_is_half_stored(api, nsg, group):
    before = api.must("GET", nsg, NETWORK)
    names = [r["name"] for r in api.must("GET", f"{group}/resources", RESOURCES)["value"]]
    yield
    assert api.must("GET", nsg, NETWORK) == before
    assert [r["name"] for r in api.must("GET", f"{group}/resources", RESOURCES)["value"]] == names


class Wire:
    """Bytes over TLS, as they are."""

    def __init__(self, ready, protocols=("http/1.1",), context=None):
        context = context or ssl.create_default_context(cafile=ready.ca)
        context.set_alpn_protocols(list(protocols))
        raw = socket.create_connection(("127.0.0.1", ready.port), 10)
        self.stream = context.wrap_socket(raw, server_hostname="localhost")
        self.stream.settimeout(25)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()

    def send(self, text):
        self.stream.sendall(text if isinstance(text, bytes) else text.encode())

    def rest(self):
        """Everything until the other side ends."""
        answer = b""
        try:
            while chunk := self.stream.recv(65536):
                answer += chunk
        except (ConnectionError, TimeoutError, ssl.SSLError):
            pass
        return answer


def token_line(api):
    return f"authorization: {api.session.headers['authorization']}\r\n"


# Bodies


def test_an_oversized_body_is_413(api, network):
    body = b'{"location":"home","tags":{"a":"' + b"x" * (4 << 20) + b'"}}'
    answer = api.request("PUT", f"{network}/networkSecurityGroups/big", NETWORK, data=body,
                         headers={"content-type": "application/json"})
    error_of(answer, 413, "RequestContentTooLarge")
    assert api.get(f"{network}/networkSecurityGroups/big", NETWORK).status_code == 404


def test_an_endless_body_is_cut_off_at_the_limit(api, network):
    def endless():
        while True:
            yield b"x" * 65536

    try:
        answer = api.request("PUT", f"{network}/networkSecurityGroups/big", NETWORK, data=endless())
    except requests.exceptions.ConnectionError:
        return  # the server closed while the client still sent
    error_of(answer, 413, "RequestContentTooLarge")


@pytest.mark.parametrize("depth", [60, 1000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [('{"a":', "}"), ("[", "]")])
def test_a_deeply_nested_body_is_refused(api, network, depth, opening, closing):
    body = '{"location":"home","properties":{"x":' + opening * depth + "1" + closing * depth + "}}"
    answer = api.request("PUT", f"{network}/networkSecurityGroups/deep", NETWORK, data=body)
    error_of(answer, 400, "InvalidRequestContent")


@pytest.mark.parametrize("body", [
    b"", b"{", b"null", b"[]", b'"text"', b"42", b"{'a': 1}", b'{"location":"home",}', b'{"location":"home"}x',
    b'\xff\xfe{"location":"home"}', b'{"location":"ho\xffme"}', b'{"location":"\\ud800"}', b'{"location":NaN}',
    b"\x00", b"<xml/>",
])
def test_what_is_no_json_object_is_refused(api, network, body):
    answer = api.request("PUT", f"{network}/networkSecurityGroups/bad", NETWORK, data=body,
                         headers={"content-type": "application/json"})
    error_of(answer, 400, "InvalidRequestContent")
    assert api.get(f"{network}/networkSecurityGroups/bad", NETWORK).status_code == 404


@pytest.mark.parametrize("body", [
    {"location": 1}, {"location": ["home"]}, {"location": "home", "tags": []}, {"location": "home", "tags": {"a": 1}},
    {"location": "home", "tags": {"a": {"b": "c"}}}, {"location": "home", "properties": []},
    {"location": "home", "properties": "x"}, {"location": "home", "properties": {"securityRules": {}}},
    {"location": "home", "properties": {"securityRules": [1]}}, {"location": "home", "properties": {"securityRules": [{}]}},
    {"location": "home", "properties": {"securityRules": [{"name": 1, "properties": RULE}]}},
    {"location": "home", "properties": {"securityRules": [{"name": "x", "properties": {**RULE, "priority": "100"}}]}},
    {"location": "home", "properties": {"securityRules": [{"name": "x", "properties": {**RULE, "priority": 100.5}}]}},
    {"location": "home", "properties": {"securityRules": [{"name": "x", "properties": {**RULE, "priority": 10**30}}]}},
    {"location": "home", "properties": {"securityRules": [{"name": "x", "properties": {**RULE, "access": "Maybe"}}]}},
    {"location": "home", "properties": {"securityRules": [{"name": "x", "properties": {**RULE, "sourceAddressPrefixes": "a"}}]}},
    {"location": "home", "tags": {f"t{i}": "x" for i in range(51)}}, {"location": "home", "tags": {"a" * 513: "x"}},
    {"location": "home", "tags": {"a": "x" * 257}}, {"location": "home", "tags": {"a<b": "x"}},
    {"tags": {"a": "b"}},
], ids=lambda b: json.dumps(b)[:60])
def test_wrong_types_and_shapes_are_refused(api, network, body):
    answer = api.put(f"{network}/networkSecurityGroups/shape", NETWORK, body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["code"] and error["message"].endswith(".") and error.get("target"), error
    assert api.get(f"{network}/networkSecurityGroups/shape", NETWORK).status_code == 404


def test_duplicate_priorities_and_names_are_refused_as_a_whole(api, network):
    def rules(*pairs):
        return {"location": "home", "properties": {"securityRules": [
            {"name": n, "properties": {**RULE, "priority": p}} for n, p in pairs]}}

    path = f"{network}/networkSecurityGroups/twice"
    error_of(api.put(path, NETWORK, rules(("a", 100), ("b", 100))), 400, "SecurityRuleConflict")
    assert api.put(path, NETWORK, rules(("a", 100), ("A", 101))).status_code == 400
    assert api.get(path, NETWORK).status_code == 404


def test_a_thousand_rules_are_taken_and_one_more_is_not(api, network):
    def rules(count):
        return {"location": "home", "properties": {"securityRules": [
            {"name": f"r{i}", "properties": {**RULE, "priority": 100 + i}} for i in range(count)]}}

    path = f"{network}/networkSecurityGroups/many"
    answer = api.put(path, NETWORK, rules(1001))
    assert answer.status_code == 400, answer.text[:300]
    assert "1000" in answer.json()["error"]["message"].replace(",", "")
    assert api.get(path, NETWORK).status_code == 404
    api.must("PUT", path, NETWORK, rules(1000))
    one_more = api.put(f"{path}/securityRules/one-more", NETWORK, {"properties": {**RULE, "priority": 4000}})
    assert one_more.status_code == 400, one_more.text[:300]
    assert len(api.must("GET", path, NETWORK)["properties"]["securityRules"]) == 1000
    api.must("DELETE", path, NETWORK)


def test_the_servers_own_keys_cannot_be_set(api, network):
    path = f"{network}/networkSecurityGroups/own"
    made = api.must("PUT", path, NETWORK, {
        "id": "/evil", "name": "evil", "type": "Evil/type", "etag": "evil", "location": "home", "$once": {"a": 1},
        "systemData": {"createdBy": "evil"},
        "properties": {"provisioningState": "Failed", "resourceGuid": "x", "$once": {"a": 1}, "networkInterfaces": [{"id": "/evil"}],
                       "defaultSecurityRules": []}})
    assert (made["id"], made["name"], made["type"]) == (path, "own", "Microsoft.Network/networkSecurityGroups")
    assert made["properties"]["provisioningState"] == "Succeeded"
    assert len(made["properties"]["defaultSecurityRules"]) == 6
    assert "evil" not in json.dumps(made).lower()
    api.must("DELETE", path, NETWORK)


# Paths and queries


@pytest.mark.parametrize("name", ["%2e%2e", "..", "%2e", "a%2fb", "a%5cb", "%00", "a%00b", "%ff", "%c0%af", "a%0d%0ab", "a%25b",
                                  "%E2%80%AE", "a%3Fb", "a%23b", "%20", "x" * 300, "a%3Cb%3E"])
@pytest.mark.parametrize("kind", ["networkSecurityGroups", "applicationSecurityGroups", "virtualNetworks"])
def test_tricks_in_names_are_refused(api, ready, network, name, kind):
    # Over the wire: a client library would normalise the path.
    body = b'{"location":"home","properties":{"addressSpace":{"addressPrefixes":["10.0.0.0/16"]}}}'
    with Wire(ready) as wire:
        wire.send(f"PUT {network}/{kind}/{name}?api-version={NETWORK} HTTP/1.1\r\nhost: {ready.host}\r\n{token_line(api)}"
                  f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n")
        wire.send(body)
        head, _, text = wire.rest().partition(b"\r\n\r\n")
    status = int(head.split()[1])
    assert 400 <= status < 500, head
    error = json.loads(text)["error"]
    assert error["code"] and error["message"], error


@pytest.mark.parametrize("name", ["ends.", "a b", "a/b", "a%3Bb", "名前%00", "x" * 91])
def test_tricks_in_group_names_are_refused(api, ready, name):
    answer = api.put(f"{ready.subscription}/resourceGroups/{name}", RESOURCES, {"location": "home"})
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["error"]["code"]


@pytest.mark.parametrize("path", ["/subscriptions/nonsense/resourceGroups", "/subscriptions//", "/providers/%2e%2e/x", "/subscriptions/..%2f..",
                                  "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups"])
def test_paths_to_nowhere_are_clear_errors(api, path):
    answer = api.get(path, RESOURCES)
    if path == "/subscriptions//":
        assert answer.status_code == 200
        return
    assert 400 <= answer.status_code < 500
    assert answer.json()["error"]["code"]


@pytest.mark.parametrize("query", ["$filter=", "$filter=(", "$filter=name eq", "$filter=name eq 'x", "$top=-1", "$top=99999999999999999999",
                                   "$skiptoken=%00", "$skiptoken=AAAA", "$filter=" + "(" * 5000, "$filter=" + "not " * 5000 + "a eq 'b'"])
def test_nonsense_in_queries_is_refused_or_empty(api, network, query):
    answer = api.get(f"{network}/networkSecurityGroups?{query}&api-version={NETWORK}")
    assert answer.status_code in (200, 400, 414, 431), answer.text
    if answer.status_code == 400:
        assert answer.json()["error"]["code"]


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "OPTIONS", "POST", "LINK", "PURGE"])
def test_methods_without_meaning_are_refused(api, nsg, method):
    answer = api.request(method, nsg, NETWORK)
    assert answer.status_code in (400, 404, 405, 501), answer.text


def test_unknown_content_types_and_encodings_do_no_harm(api, network):
    for headers in [{"content-type": "text/plain"}, {"content-type": "application/xml"}, {"content-encoding": "gzip"},
                    {"content-type": "application/json; charset=utf-16"}, {"expect": "nonsense"}]:
        answer = api.request("PUT", f"{network}/networkSecurityGroups/type", NETWORK, data=b"\x1f\x8b\x00", headers=headers)
        assert answer.status_code in (400, 415, 417), answer.text


# The wire


def test_a_half_sent_head_is_dropped_within_the_limit(ready):
    began = time.monotonic()
    with Wire(ready) as slow:
        slow.send(f"GET / HTTP/1.1\r\nhost: {ready.host}\r\nx: ")
        answer = slow.rest()
        seconds = time.monotonic() - began
    assert seconds <= 24, f"still open after {seconds:.0f} s"
    assert not answer or b" 408 " in answer.split(b"\r\n")[0]


def test_many_idle_connections_do_not_keep_others_out(ready, api):
    held = [socket.create_connection(("127.0.0.1", ready.port), 5) for _ in range(200)]
    try:
        began = time.monotonic()
        Api(ready).get("/metadata/endpoints", "2022-09-01")
        assert time.monotonic() - began < 5
    finally:
        for stream in held:
            stream.close()


def exchanged(ready, head):
    with Wire(ready) as wire:
        wire.stream.settimeout(3)
        wire.send(head)
        return wire.rest()


def statuses(answer):
    return [int(line.split()[1]) for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


def test_a_request_with_two_lengths_is_no_two_requests(ready, api, nsg):
    hidden = f"DELETE {nsg}?api-version={NETWORK} HTTP/1.1\r\nhost: {ready.host}\r\nconnection: close\r\n{token_line(api)}\r\n"
    first = f"POST {nsg}/nothing?api-version={NETWORK} HTTP/1.1\r\nhost: {ready.host}\r\n{token_line(api)}"
    cases = {
        "both": f"{first}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
        "two different lengths": f"{first}content-length: 0\r\ncontent-length: {len(hidden)}\r\n\r\n{hidden}",
        "a list of lengths": f"{first}content-length: 0, {len(hidden)}\r\n\r\n{hidden}",
        "a signed length": f"{first}content-length: +0\r\n\r\n{hidden}",
        "chunked in disguise": f"{first}transfer-encoding: xchunked\r\ncontent-length: 0\r\n\r\n{hidden}",
        "chunked with a blank": f"{first}transfer-encoding : chunked\r\n\r\n0\r\n\r\n{hidden}",
        "a folded header": f"{first}x: y\r\n content-length: 0\r\n\r\n{hidden}",
    }
    for name, text in cases.items():
        found = statuses(exchanged(ready, text))
        assert 200 not in found and 202 not in found, f"{name}: the hidden request was run: {found}"
        assert found and found[0] >= 400, f"{name}: {found}"
        assert api.get(nsg, NETWORK).status_code == 200, name


def test_heads_that_are_no_http_are_refused(ready, api):
    for text in ["GET / HTTP/9.9\r\n\r\n", "nonsense\r\n\r\n", "GET /\x00 HTTP/1.1\r\nhost: x\r\n\r\n",
                 f"GET / HTTP/1.1\r\nhost: {ready.host}\r\n" + "x: y\r\n" * 2000 + "\r\n",
                 f"GET /{'a' * 200_000} HTTP/1.1\r\nhost: {ready.host}\r\n\r\n"]:
        found = statuses(exchanged(ready, text))
        assert not found or 400 <= found[0] < 600 and 200 not in found, (text[:40], found)


def test_plain_http_gets_no_answer_from_the_api(ready):
    with socket.create_connection(("127.0.0.1", ready.port), 5) as stream:
        stream.settimeout(12)
        stream.sendall(b"GET /metadata/endpoints?api-version=2022-09-01 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        try:
            answer = stream.recv(65536)
        except ConnectionError:
            answer = b""
    assert b"200 OK" not in answer and b"resourceManager" not in answer


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_tls_versions_are_refused(ready):
    context = ssl.create_default_context(cafile=ready.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        Wire(ready, context=context)


# Cookies


def test_a_cookie_from_another_sites_page_changes_nothing(ready, administrator, group):
    path = f"{group}/providers/Microsoft.Network/applicationSecurityGroups/crossed"
    cookie = {"cookie": administrator.cookie}
    foreign = [
        {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"sec-fetch-site": "none"},
        {"origin": "https://evil.example"}, {"origin": "null"}, {}, {"origin": ready.url, "sec-fetch-site": "cross-site"},
        {"referer": f"{ready.url}/"}, {"origin": ready.url.replace("https", "http")}, {"origin": f"{ready.url}.evil.example"},
    ]
    for headers in foreign:
        for method in ["PUT", "DELETE", "PATCH", "POST"]:
            answer = Api(ready).request(method, path, NETWORK, {"location": "home"}, headers={**cookie, **headers})
            error_of(answer, 403, "CrossSiteRequest")
        answer = Api(ready).post("/v1.0/groups", None, {"displayName": "crossed"}, headers={**cookie, **headers})
        error_of(answer, 403, "CrossSiteRequest")
        answer = Api(ready).post("/auth/signout", None, {}, headers={**cookie, **headers})
        assert answer.status_code == 403, answer.text
    own = Api(ready)
    for headers in [{"sec-fetch-site": "same-origin"}, {"origin": ready.url}]:
        assert own.put(path, NETWORK, {"location": "home"}, headers={**cookie, **headers}).status_code in (200, 201)
    own.delete(path, NETWORK, headers={**cookie, "sec-fetch-site": "same-origin"})


def test_no_answer_may_be_framed_sniffed_or_read_by_another_origin(ready, api):
    for path in ["/", "/metadata/endpoints?api-version=2022-09-01", "/subscriptions?api-version=2022-12-01"]:
        answer = api.get(path, headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["strict-transport-security"]


# Machines that are none


def test_a_join_string_lets_in_once(ready, api, group):
    path, join_string = enrolment_token(api, group)
    try:
        answer = elsewhere(ready).post("/link/join", body=join_request(join_string, "once"))
        assert answer.status_code == 201, answer.text
        machine = answer.json()["machine"]
        error_of(elsewhere(ready).post("/link/join", body=join_request(join_string, "twice")), 401, "InvalidJoinToken")
        assert api.get(machine.replace("/once", "/twice"), COMPUTE).status_code == 404
        assert api.must("GET", path, FLEET)["properties"]["uses"] == 1
        assert "joinString" not in api.must("GET", path, FLEET)["properties"]
        assert "secretHash" not in json.dumps(api.must("PUT", path, FLEET, {"location": "home"}))
        api.must("DELETE", machine, COMPUTE)
    finally:
        api.must("DELETE", path, FLEET)


def test_revoked_expired_unknown_and_malformed_join_tokens_are_refused(ready, api, group):
    path, join_string = enrolment_token(api, group)
    api.must("DELETE", path, FLEET)
    error_of(elsewhere(ready).post("/link/join", body=join_request(join_string, "revoked")), 401, "InvalidJoinToken")
    good = join_request(join_string, "unknown")
    for secret in ["A" * 43, "", "!", "x" * 60_000]:
        error_of(elsewhere(ready).post("/link/join", body={**good, "secret": secret}), 401, "InvalidJoinToken")
    for body in [{}, [], {"secret": 1, "csr": "x", "hostname": "y"}, {**good, "more": 1}]:
        assert elsewhere(ready).post("/link/join", body=body).status_code == 400
    error_of(elsewhere(ready).request("POST", "/link/join", data=b"x" * 70_000), 413, "RequestContentTooLarge")
    for bad in [{"ttlSeconds": 59}, {"ttlSeconds": 86_401}, {"maxUses": 0}, {"maxUses": 10_001}, {"ttlSeconds": "x"}, {"ttlSeconds": -1}]:
        answer = api.put(path, FLEET, {"location": "home", "properties": bad})
        assert answer.status_code == 400 and answer.json()["error"]["target"], answer.text
    assert api.get(path, FLEET).status_code == 404


def test_an_expired_join_token_is_refused(ready, short_lived_token):
    # It lives for a minute and was made when the run began; alone, this test has to wait for its end.
    body = join_request(short_lived_token, "\u0000")

    def refused():
        return elsewhere(ready).post("/link/join", body=body | {"csr": "none"}).status_code == 401

    poll("the token has expired", refused, 70, every=0.5)
    error_of(elsewhere(ready).post("/link/join", body=join_request(short_lived_token, "late")), 401, "InvalidJoinToken")


def test_failed_joins_from_one_place_are_slowed_down(ready, api, group):
    path, join_string = enrolment_token(api, group)
    one_place = elsewhere(ready)
    body = join_request(join_string, "x") | {"secret": "A" * 43}
    for _ in range(200):
        answer = one_place.post("/link/join", body=body)
        if answer.status_code == 429:
            break
        error_of(answer, 401, "InvalidJoinToken")
    error_of(answer, 429, "TooManyAttempts")
    assert int(answer.headers["retry-after"]) >= 1
    other = elsewhere(ready).post("/link/join", body=join_request(join_string, "other-place"))
    assert other.status_code == 201, "another place is not held up"
    api.must("DELETE", other.json()["machine"], COMPUTE)
    api.must("DELETE", path, FLEET)


def test_the_life_of_a_token_cannot_be_made_longer(api, group):
    path, _ = enrolment_token(api, group, ttlSeconds=60)
    before = api.must("GET", path, FLEET)["properties"]["expiresAt"]
    api.put(path, FLEET, {"location": "home", "properties": {"ttlSeconds": 86_400, "expiresAt": "2999-01-01T00:00:00Z", "uses": -5}})
    after = api.must("GET", path, FLEET)["properties"]
    assert (after["expiresAt"], after["uses"]) == (before, 0)
    api.must("DELETE", path, FLEET)


def test_a_bad_certificate_request_does_not_spend_the_token(ready, api, group):
    path, join_string = enrolment_token(api, group)
    body = join_request(join_string, "csr")
    for csr in ["", "x", body["csr"].replace("A", "B", 3), "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"]:
        error_of(elsewhere(ready).post("/link/join", body={**body, "csr": csr}), 400, "InvalidCertificateRequest")
    assert api.must("GET", path, FLEET)["properties"]["uses"] == 0
    api.must("DELETE", path, FLEET)


@pytest.mark.parametrize("hostname", ["../../web", "a\u0000b", "web%2f..", "", "x" * 5000, "<script>", "web"])
def test_a_host_name_cannot_leave_its_group_nor_take_a_machines_place(ready, api, group, hostname):
    path, join_string = enrolment_token(api, group)
    answer = elsewhere(ready).post("/link/join", body=join_request(join_string, "x") | {"hostname": hostname})
    if answer.status_code == 201:
        machine = answer.json()["machine"]
        assert machine.startswith(f"{group}/providers/Microsoft.Compute/virtualMachines/")
        assert machine.count("/") == 8
        api.must("DELETE", machine, COMPUTE)
    else:
        assert answer.status_code == 400, answer.text
    api.must("DELETE", path, FLEET)


def foreign_identity(folder):
    """A key with a certificate of an authority of its own that claims to be an agent."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(uuid.uuid4()))])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(1))
                   .not_valid_after(now + datetime.timedelta(1))
                   .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"urn:uuid:{uuid.uuid4()}")]), False)
                   .sign(key, hashes.SHA256()))
    path = folder / "foreign.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return path


@pytest.mark.parametrize("certificate", ["none", "foreign"])
def test_the_link_admits_nobody_without_an_agents_certificate(ready, tmp_path, certificate):
    context = ssl.create_default_context(cafile=ready.ca)
    if certificate == "foreign":
        context.load_cert_chain(foreign_identity(tmp_path))
    answer = b""
    try:
        with Wire(ready, ["sekisho-link/1"], context) as wire:
            wire.send("GET /link/confirm?x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            answer = wire.rest()
    except (ssl.SSLError, ConnectionError):
        pass
    assert b"200" not in answer.split(b"\r\n")[0]


def test_the_certificate_of_a_removed_machine_opens_nothing(ready, api, group, tmp_path):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    path, join_string = enrolment_token(api, group)
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gone")])).sign(key, hashes.SHA256())
    body = {"secret": join_string.rsplit(".", 1)[1], "hostname": "gone",
            "csr": csr.public_bytes(serialization.Encoding.PEM).decode()}
    joined = elsewhere(ready).must("POST", "/link/join", body=body)
    own = tmp_path / "agent.pem"
    own.write_bytes(joined["certificate"].encode() + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))

    def status(target="/link/confirm?nonce"):
        context = ssl.create_default_context(cafile=ready.ca)
        context.load_cert_chain(own)
        with Wire(ready, ["sekisho-link/1"], context) as wire:
            wire.send(f"GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            return statuses(wire.rest())

    assert status() == [200]
    assert status("/subscriptions?api-version=2022-12-01") == [404], "an agent is no client of the API"
    api.must("DELETE", joined["machine"], COMPUTE)
    assert status()[0] in (401, 403)
    api.must("DELETE", path, FLEET)


# Rights


def test_nobody_gives_himself_more_than_he_may(ready, api, own_object_id):
    body = {"properties": {"principalId": own_object_id, "principalType": "ServicePrincipal",
                           "roleDefinitionId": f"/providers/Microsoft.Authorization/roleDefinitions/{OWNER}"}}
    answer = api.put(f"/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}", ROLES, body)
    assert answer.status_code in (403, 404), answer.text
    for path in ["/v1.0/users", "/v1.0/groups", "/v1.0/applications"]:
        error_of(api.post(path, None, {"displayName": "x", "userPrincipalName": "x@localhost"}), 403, "Authorization_RequestDenied")
    name = uuid.uuid4()
    answer = api.put(f"{ready.subscription}/providers/Microsoft.Authorization/roleDefinitions/{name}", ROLES, {"properties": {
        "roleName": f"Wide {name}", "assignableScopes": ["/"], "permissions": [{"actions": ["*"]}]}})
    assert answer.status_code in (400, 403), answer.text


def test_the_last_owner_cannot_be_removed_by_any_path(ready, administrator):
    made = administrator.add_principal("az tests: last owner")
    path = administrator.own(made.principal)
    other = Api(ready, token_of(ready, app=made.app, secret=made.secret))
    own = [p for p, principal in administrator.root_assignments().items() if principal == administrator.id]
    try:
        if set(administrator.root_assignments().values()) != {administrator.id, made.principal}:
            pytest.skip("somebody else owns the root of this demo")
        for assignment in own:
            other.must("DELETE", assignment, ROLES)
        error_of(other.delete(path, ROLES), 409, "LastOwnerCannotBeRemoved")
        for method, target, body in [
            ("DELETE", f"/v1.0/applications/{made.application}", None), ("DELETE", f"/v1.0/servicePrincipals/{made.principal}", None),
            ("PATCH", f"/v1.0/servicePrincipals/{made.principal}", {"accountEnabled": False}),
        ]:
            answer = other.request(method, target, None, body)
            assert 400 <= answer.status_code < 500, f"{method} {target}: {answer.status_code}"
        assert other.get("/subscriptions", "2022-12-01").status_code == 200
    finally:
        again = f"/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
        other.put(again, ROLES, {"properties": {
            "principalId": administrator.id, "principalType": "User",
            "roleDefinitionId": f"/providers/Microsoft.Authorization/roleDefinitions/{OWNER}"}})
        administrator.api.delete(path, ROLES)
        administrator.remove_application(made.application)


def test_built_in_roles_and_default_rules_cannot_be_changed(ready, api, nsg):
    path = f"{ready.subscription}/providers/Microsoft.Authorization/roleDefinitions/{READER}"
    before = api.must("GET", path, ROLES)
    body = {"properties": {"roleName": "Reader", "assignableScopes": [ready.subscription], "permissions": [{"actions": ["*"]}]}}
    assert 400 <= api.put(path, ROLES, body).status_code < 500
    assert 400 <= api.delete(path, ROLES).status_code < 500
    assert api.must("GET", path, ROLES) == before
    for method in ["PUT", "DELETE"]:
        answer = api.request(method, f"{nsg}/defaultSecurityRules/DenyAllInBound", NETWORK,
                             {"properties": {**RULE, "access": "Allow"}} if method == "PUT" else None)
        error_of(answer, 405, "MethodNotAllowed")


def test_the_log_kept_every_refusal_and_is_whole(ready, api, group):
    name = group.rsplit("/", 1)[1]

    def refused():
        found = api.must("GET", f"{ready.subscription}/providers/Microsoft.Insights/eventtypes/management/values?$filter="
                         f"eventTimestamp ge '2020-01-01T00:00:00Z' and resourceGroupName eq '{name}'", "2015-04-01")["value"]
        return [e for e in found if e["status"]["value"] == "Failed"]

    poll("refused writes are in the activity log", refused)
    assert ready.admin("/audit-verify", None)["entries"] > 0
