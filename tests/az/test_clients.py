"""Every way to sign in, each with the stock client: `az` by certificate, federated token, device code and browser, and the
credentials of azure-identity."""

import base64
import datetime
import http.server
import json
import re
import ssl
import stat
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from support import READER, ROLES, Api, Az
from test_login import claims_of

# A browser in which the person is signed in: it follows the address that `az` opens and says yes.
BROWSER = """\
#!{python}
import json, re, sys, urllib.parse
import requests

url = sys.argv[1]
page = requests.Session()
page.trust_env, page.verify = False, {ca!r}
page.headers.update({{"cookie": {cookie!r}, "origin": {url!r}, "sec-fetch-site": "same-origin"}})
shown = page.get(url, allow_redirects=False, timeout=30)
assert shown.status_code == 303, shown.text
place = urllib.parse.urlsplit(shown.headers["location"])
assert place.path == "/authorize", shown.headers["location"]
policy = page.get({url!r} + shown.headers["location"], timeout=30).headers["content-security-policy"]
sent = page.post({url!r} + "/auth/authorize", json={{"query": place.query, "allow": True}}, timeout=30)
assert sent.status_code == 200, sent.text
sent = sent.json()
assert ("form-action 'self' " + re.match(r"http://[^/]+", sent["redirect"])[0]) in policy, policy
requests.post(sent["redirect"], data=sent["fields"], timeout=30)
"""


def certificate(folder, name="ci", issuer=None):
    """A key and a certificate, self-signed or of an authority: the PEM file of both, and the key."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .issuer_name(issuer[0].subject if issuer else subject)
    )
    if issuer:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer[0].public_key()), False)
    made = builder.sign(issuer[1] if issuer else key, hashes.SHA256())
    file = folder / f"{name}.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM))
    return SimpleNamespace(file=file, key=key, certificate=made)


def part(value):
    data = json.dumps(value).encode() if isinstance(value, dict) else value
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def signed(key, claims, header, salted=False):
    """A JWT: RS256, or PS256."""
    how = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if salted else padding.PKCS1v15()
    text = f"{part(header | {'alg': 'PS256' if salted else 'RS256', 'typ': 'JWT'})}.{part(claims)}"
    return f"{text}.{part(key.sign(text.encode(), how, hashes.SHA256()))}"


def authority(ready):
    """The authority of identity providers, which the demo's server reads when it first asks one: made once."""
    kept = Path(ready.data["dataDir"]) / "federation.pem"
    key = kept.with_suffix(".key")
    if not kept.exists():
        made = certificate(kept.parent, "federation-authority")
        key.write_bytes(made.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        kept.write_bytes(made.certificate.public_bytes(serialization.Encoding.PEM))
    return (x509.load_pem_x509_certificate(kept.read_bytes()),
            serialization.load_pem_private_key(key.read_bytes(), None))


class Provider:
    """An identity provider on the loopback, with a certificate of an authority that the server knows."""

    def __init__(self, ready, folder):
        own = certificate(folder, "idp", authority(ready))
        self.key = own.key
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                numbers = provider.key.public_key().public_numbers()
                size = (numbers.n.bit_length() + 7) // 8
                answers = {
                    "/.well-known/openid-configuration": {"issuer": provider.issuer, "jwks_uri": f"{provider.issuer}/jwks"},
                    "/jwks": {"keys": [{"kty": "RSA", "kid": "one", "use": "sig", "n": part(numbers.n.to_bytes(size, "big")),
                                        "e": part(numbers.e.to_bytes(3, "big"))}]},
                }
                found = answers.get(self.path)
                text = json.dumps(found).encode()
                self.send_response(200 if found else 404)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own.file)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.issuer = f"https://localhost:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def token(self, subject, **changes):
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": subject, "aud": "api://AzureADTokenExchange", "iat": now, "exp": now + 600}
        return signed(self.key, claims | changes, {"kid": "one"})

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def program(ready, administrator, api):
    """A program that may read the demo's subscription."""
    made = administrator.add_principal(f"az tests: {uuid.uuid4().hex[:8]}")
    path = f"{ready.subscription}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    role = f"/providers/Microsoft.Authorization/roleDefinitions/{READER}"
    api.must("PUT", path, ROLES, {"properties": {
        "roleDefinitionId": role, "principalId": made.principal, "principalType": "ServicePrincipal"}})
    yield made
    api.must("DELETE", path, ROLES)
    administrator.remove_application(made.application)


@pytest.fixture
def clean(ready, tmp_path):
    made = Az(ready, tmp_path / "azure")
    made.folder.mkdir()
    made.register()
    return made


@pytest.fixture
def admin_az(ready, tmp_path, administrator, api, own_object_id, owner_of_everything):
    """`az` of the demo's principal while it owns everything."""
    made = Az(ready, tmp_path / "admin")
    made.folder.mkdir()
    made.register()
    made.login()
    return made


def trust(administrator, application, provider, subject="repo:contoso/web"):
    return administrator.api.must("POST", f"/v1.0/applications/{application}/federatedIdentityCredentials", body={
        "name": "ci-main", "issuer": provider.issuer, "subject": subject, "audiences": ["api://AzureADTokenExchange"]})


@pytest.fixture(scope="module")
def provider(ready, tmp_path_factory):
    made = Provider(ready, tmp_path_factory.mktemp("idp"))
    yield made
    made.close()


def with_browser(az, administrator, folder):
    """Gives `az` a browser in which the administrator is signed in."""
    script = folder / "browser.py"
    script.write_text(BROWSER.format(
        python=sys.executable, ca=az.ready.ca, cookie=administrator.cookie, url=az.ready.url))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    # In the background: the client listens only after it has opened the browser.
    az.environment["BROWSER"] = f"{script} %s &"
    return az


def confirm(administrator, message):
    """Types the code of a message into the portal, sees who asks, and says yes."""
    code = re.search(r"[B-Z]{4}-[B-Z]{4}", message)[0]
    asked = administrator.api.must("POST", "/auth/device/inspect", body={"userCode": code.lower()})
    assert asked["sameAddress"] is True
    administrator.api.must("POST", "/auth/device", body={"userCode": code, "allow": True})
    return asked


def test_az_makes_a_certificate_and_signs_in_with_it(ready, admin_az, program, clean, tmp_path):
    own = certificate(tmp_path)
    admin_az("ad", "app", "credential", "reset", "--id", program.app, "--cert", f"@{own.file}", "--append")
    [kept] = admin_az("ad", "app", "credential", "list", "--id", program.app, "--cert")
    assert kept["customKeyIdentifier"] == own.certificate.fingerprint(hashes.SHA1()).hex().upper()
    [account] = clean("login", "--service-principal", "-u", program.app, "--certificate", str(own.file),
                      "--tenant", ready.tenant)
    assert account["user"] == {"name": program.app, "type": "servicePrincipal"}
    assert any(g["name"] == ready.group_name for g in clean("group", "list"))
    # And one that `az` makes itself.
    made = admin_az("ad", "app", "credential", "reset", "--id", program.app, "--create-cert", "--append")
    clean("logout")
    clean("login", "--service-principal", "-u", program.app, "--certificate", made["fileWithCertAndPrivateKey"],
          "--tenant", ready.tenant)
    assert len(admin_az("ad", "app", "credential", "list", "--id", program.app, "--cert")) == 2
    admin_az("ad", "app", "credential", "delete", "--id", program.app, "--key-id", kept["keyId"], "--cert")
    clean("logout")
    clean.fails("login", "--service-principal", "-u", program.app, "--certificate", str(own.file), "--tenant",
                ready.tenant, says="AADSTS700027")
    Path(made["fileWithCertAndPrivateKey"]).unlink()


def test_both_rsa_algorithms_and_both_thumbprints_are_taken_and_no_assertion_twice(ready, administrator, program, tmp_path):
    own = certificate(tmp_path)
    der = own.certificate.public_bytes(serialization.Encoding.DER)
    administrator.api.must("PATCH", f"/v1.0/applications/{program.application}", body={
        "keyCredentials": [{"key": base64.b64encode(der).decode(), "type": "AsymmetricX509Cert", "usage": "Verify"}]})
    sha1, sha256 = (own.certificate.fingerprint(h) for h in (hashes.SHA1(), hashes.SHA256()))

    def ask(assertion):
        return Api(ready).session.post(f"{ready.url}/{ready.tenant}/oauth2/v2.0/token", timeout=30, data={
            "grant_type": "client_credentials", "client_id": program.app, "scope": f"{ready.url}//.default",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion})

    def claims(**changes):
        now = time.time()
        return {"aud": f"{ready.url}/{ready.tenant}/oauth2/v2.0/token", "iss": program.app, "sub": program.app,
                "jti": str(uuid.uuid4()), "iat": now, "exp": now + 600} | changes

    # As MSAL for Python, MSAL for .NET, and Terraform, which says `kid` and gives an hour.
    padded = base64.urlsafe_b64encode(sha1).decode()
    for header, salted, more in [({"x5t": padded}, False, {}), ({"x5t#S256": part(sha256)}, True, {}),
                                 ({"kid": padded}, False, {"exp": int(time.time()) + 3600, "nbf": int(time.time())})]:
        assertion = signed(own.key, claims(**more), header, salted)
        assert ask(assertion).status_code == 200
        again = ask(assertion)
        assert (again.status_code, again.json()["error"]) == (401, "invalid_client"), again.text
    other = signed(certificate(tmp_path, "other").key, claims(), {"x5t": padded})
    assert "AADSTS700027" in ask(other).text
    assert "AADSTS700024" in ask(signed(own.key, claims(exp=time.time() - 1), {})).text
    assert "AADSTS700023" in ask(signed(own.key, claims(aud="https://login.microsoftonline.com/x"), {})).text


def test_az_trusts_a_provider_and_signs_in_with_its_token(ready, admin_az, administrator, program, provider, clean, tmp_path):
    parameters = tmp_path / "federated.json"
    parameters.write_text(json.dumps({
        "name": "ci-main", "issuer": provider.issuer, "subject": "repo:contoso/web",
        "audiences": ["api://AzureADTokenExchange"], "description": "az tests"}))
    admin_az("ad", "app", "federated-credential", "create", "--id", program.app, "--parameters", f"@{parameters}")
    [kept] = admin_az("ad", "app", "federated-credential", "list", "--id", program.app)
    assert kept["issuer"] == provider.issuer
    login = ["login", "--service-principal", "-u", program.app, "--tenant", ready.tenant, "--federated-token"]
    clean.fails(*login, provider.token("repo:evil/web"), says="AADSTS700213")
    [account] = clean(*login, provider.token("repo:contoso/web"))
    assert account["id"] == ready.subscription_id
    assert any(g["name"] == ready.group_name for g in clean("group", "list"))
    admin_az("ad", "app", "federated-credential", "delete", "--id", program.app, "--federated-credential-id", "ci-main")
    assert admin_az("ad", "app", "federated-credential", "list", "--id", program.app) == []


def device_login(az, administrator, *more):
    began = subprocess.Popen(
        [az.program, "login", "--use-device-code", *more], env=az.environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        message = began.stderr.readline()
        asked = confirm(administrator, message)
        out, err = began.communicate(timeout=60)
    finally:
        if began.poll() is None:
            began.kill()
            began.communicate()
    assert began.returncode == 0, message + out + err
    return asked, json.loads(out)


def test_az_signs_a_person_in_by_device_code(ready, administrator, clean):
    asked, [account] = device_login(clean, administrator)
    assert asked["clientName"] == "Azure CLI"
    assert account["user"] == {"name": administrator.name, "type": "user"}
    assert account["id"] == ready.subscription_id
    assert clean("ad", "signed-in-user", "show")["id"] == administrator.id
    assert any(g["name"] == ready.group_name for g in clean("group", "list"))
    token = claims_of(clean("account", "get-access-token")["accessToken"])
    assert (token["idtyp"], token["upn"], "mfa" in token["amr"]) == ("user", administrator.name, True)
    # It is in the list of what acts as the person; ended there, the next command is refused.
    [row] = [g for g in administrator.api.must("GET", "/auth/grants")["value"] if g["id"] == token["sid"]]
    administrator.api.must("DELETE", f"/auth/grants/{row['id']}")
    clean.fails("group", "list", says="az login")


def test_az_signs_a_person_in_by_the_browser(ready, administrator, clean, tmp_path):
    with_browser(clean, administrator, tmp_path)
    [account] = clean("login")
    assert account["user"] == {"name": administrator.name, "type": "user"}
    assert clean("ad", "signed-in-user", "show")["userPrincipalName"] == administrator.name
    assert any(g["name"] == ready.group_name for g in clean("group", "list"))
    [account] = clean("login", "--tenant", ready.tenant)
    assert account["tenantId"] == ready.tenant


def test_the_adfs_layout_signs_a_person_in_without_any_setting(ready, administrator, tmp_path):
    az = Az(ready, tmp_path, instance_discovery=None)
    az.register(f"{ready.url}/adfsm")
    _, [account] = device_login(az, administrator)
    assert account["user"]["name"] == administrator.name
    assert any(g["name"] == ready.group_name for g in az("group", "list"))


def test_commands_that_start_together_with_an_old_token_all_work(ready, administrator, clean):
    device_login(clean, administrator)
    # As an hour later: the access tokens are gone from the cache, the refresh token is there.
    cache = clean.folder / "msal_token_cache.json"
    kept = json.loads(cache.read_text())
    kept["AccessToken"] = {}
    cache.write_text(json.dumps(kept))
    together = [subprocess.Popen([clean.program, "account", "get-access-token"], env=clean.environment, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    for one in together:
        out, err = one.communicate(timeout=120)
        assert one.returncode == 0, err
        assert claims_of(json.loads(out)["accessToken"])["upn"] == administrator.name
    assert any(g["name"] == ready.group_name for g in clean("group", "list"))


def test_az_finds_people_groups_and_programs_in_the_directory(ready, admin_az, administrator, program):
    person = admin_az("ad", "user", "show", "--id", administrator.name)
    assert person["id"] == administrator.id
    assert admin_az("ad", "user", "list", "--upn", administrator.name)[0]["id"] == administrator.id
    group = admin_az("ad", "group", "create", "--display-name", "az tests: group", "--mail-nickname", "az-tests")
    try:
        admin_az("ad", "group", "member", "add", "--group", group["id"], "--member-id", administrator.id)
        assert admin_az("ad", "group", "member", "check", "--group", group["id"], "--member-id", administrator.id)["value"]
        [member] = admin_az("ad", "group", "member", "list", "--group", group["id"])
        assert member["userPrincipalName"] == administrator.name
        groups = admin_az("ad", "user", "get-member-groups", "--id", administrator.name)
        assert any("az tests: group" in json.dumps(g) for g in groups)
        assert admin_az("ad", "group", "list", "--display-name", "az tests: gr")[0]["id"] == group["id"]
        assert admin_az("ad", "group", "show", "--group", group["id"])["displayName"] == "az tests: group"
    finally:
        admin_az("ad", "group", "delete", "--group", group["id"])
    found = admin_az("ad", "sp", "show", "--id", program.app)
    assert found["id"] == program.principal
    assert admin_az("ad", "sp", "list", "--spn", program.app)[0]["id"] == program.principal
    assert admin_az("ad", "app", "show", "--id", program.app)["id"] == program.application


SCOPE = "https://management.azure.com/.default"


def opens(ready, credential):
    token = credential.get_token(SCOPE).token
    assert Api(ready, token).get("/subscriptions", "2022-12-01").json()["value"][0]["id"] == ready.subscription
    return claims_of(token)


def test_azure_identity_signs_programs_in(ready, administrator, program, provider, tmp_path):
    from azure.identity import (CertificateCredential, ClientAssertionCredential, ClientSecretCredential,
                                WorkloadIdentityCredential)

    usual = {"authority": ready.url, "disable_instance_discovery": True}
    assert opens(ready, ClientSecretCredential(ready.tenant, program.app, program.secret, **usual))["appid"] == program.app
    own = certificate(tmp_path)
    der = own.certificate.public_bytes(serialization.Encoding.DER)
    administrator.api.must("PATCH", f"/v1.0/applications/{program.application}", body={
        "keyCredentials": [{"key": base64.b64encode(der).decode(), "type": "AsymmetricX509Cert", "usage": "Verify"}]})
    opens(ready, CertificateCredential(ready.tenant, program.app, str(own.file), **usual))
    trust(administrator, program.application, provider)
    opens(ready, ClientAssertionCredential(ready.tenant, program.app, lambda: provider.token("repo:contoso/web"), **usual))
    file = tmp_path / "token"
    file.write_text(provider.token("repo:contoso/web"))
    opens(ready, WorkloadIdentityCredential(
        tenant_id=ready.tenant, client_id=program.app, token_file_path=str(file), **usual))


def test_azure_identity_signs_people_in(ready, administrator, clean, tmp_path, monkeypatch):
    from azure.identity import AzureCliCredential, DeviceCodeCredential, InteractiveBrowserCredential

    usual = {"authority": ready.url, "disable_instance_discovery": True, "tenant_id": ready.tenant}
    prompt = lambda _, code, __: confirm(administrator, code)
    assert opens(ready, DeviceCodeCredential(prompt_callback=prompt, **usual))["upn"] == administrator.name
    with_browser(clean, administrator, tmp_path)
    monkeypatch.setenv("BROWSER", clean.environment["BROWSER"])
    assert opens(ready, InteractiveBrowserCredential(**usual))["upn"] == administrator.name
    clean("login")
    for name, value in clean.environment.items():
        monkeypatch.setenv(name, value)
    token = AzureCliCredential().get_token(f"{ready.url}//.default").token
    assert claims_of(token)["upn"] == administrator.name
