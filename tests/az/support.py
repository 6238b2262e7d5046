"""What the tests talk to: the server by raw HTTPS, the stock `az`, the machines' network namespaces."""

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import requests

from passkey import Passkey

NETWORK = "2024-05-01"
COMPUTE = "2024-07-01"
RESOURCES = "2024-11-01"
ROLES = "2022-04-01"
MANAGEMENT = "2023-04-01"
FLEET = "2026-11-01"

OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
CLEANER = "az tests: cleaner"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"


def shared_arm() -> Path:
    """The folder of contract data: beside the checkout, or where SEKISHO_SHARED points."""
    root = os.environ.get("SEKISHO_SHARED")
    folder = Path(root) if root else Path(__file__).resolve().parents[2].parent / "shared"
    return folder / "arm"


def require_shared(path: Path) -> Path:
    if not path.exists():
        raise AssertionError(
            f"{path} is missing: the contract data (`shared`) lies beside the checkout; "
            "set SEKISHO_SHARED to its path when it is elsewhere."
        )
    return path


def poll(what, check, seconds=10.0, every=0.05):
    """Runs `check` until it returns something true, and fails with `what` at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, f"not so within {seconds} s: {what}"
        time.sleep(every)


@dataclass
class Ready:
    """The running demo."""

    data: dict

    @classmethod
    def load(cls) -> "Ready":
        path = os.environ.get("SEKISHO_READY")
        assert path, "SEKISHO_READY names no file: run `cargo xtask test`, or start `cargo xtask demo --ready-file FILE`."
        return cls(json.loads(Path(path).read_text()))

    @property
    def url(self):
        return self.data["url"]

    @property
    def ca(self):
        return self.data["ca"]

    @property
    def tenant(self):
        return self.data["tenantId"]

    @property
    def subscription_id(self):
        return self.data["subscriptionId"]

    @property
    def subscription(self):
        return f"/subscriptions/{self.subscription_id}"

    @property
    def group_name(self):
        return self.data["resourceGroup"]

    @property
    def group(self):
        return f"{self.subscription}/resourceGroups/{self.group_name}"

    @property
    def app_id(self):
        return self.data["servicePrincipal"]["appId"]

    @property
    def password(self):
        return self.data["servicePrincipal"]["password"]

    @property
    def port(self):
        return int(self.url.rsplit(":", 1)[1])

    @property
    def host(self):
        return self.url.removeprefix("https://")

    def network(self, group=None):
        return f"{group or self.group}/providers/Microsoft.Network"

    def machine(self, name):
        return SimpleNamespace(**next(m for m in self.data["machines"] if m["name"] == name))

    def admin(self, path, body):
        """Asks the administration socket, as root on the server does with `sekisho`."""
        text = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: sekisho\r\ncontent-type: application/json\r\n"
            f"content-length: {len(text)}\r\nconnection: close\r\n\r\n"
        )
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(10)
            stream.connect(f"{self.data['dataDir']}/server/admin.sock")
            stream.sendall(head.encode() + text)
            answer = b""
            while chunk := stream.recv(65536):
                answer += chunk
        head, _, content = answer.partition(b"\r\n\r\n")
        assert b" 200 " in head.split(b"\r\n")[0], answer
        return json.loads(content)


class From(requests.adapters.HTTPAdapter):
    """Connections from one address."""

    def __init__(self, address):
        self.address = address
        super().__init__()

    def init_poolmanager(self, *arguments, **more):
        super().init_poolmanager(*arguments, source_address=(self.address, 0), **more)


class Api:
    """Raw HTTPS with a bearer token; answers are `requests` responses, never raised."""

    def __init__(self, ready: Ready, token=None):
        self.ready = ready
        self.session = requests.Session()
        self.session.verify = ready.ca
        self.session.trust_env = False
        if token:
            self.session.headers["authorization"] = f"Bearer {token}"

    def request(self, method, path, version=None, body=None, **more):
        url = path if path.startswith("https://") else self.ready.url + path
        if version:
            url += ("&" if "?" in url else "?") + f"api-version={version}"
        if body is not None:
            more["json"] = body
        return self.session.request(method, url, timeout=30, **more)

    def get(self, path, version=None, **more):
        return self.request("GET", path, version, **more)

    def put(self, path, version=None, body=None, **more):
        return self.request("PUT", path, version, body, **more)

    def post(self, path, version=None, body=None, **more):
        return self.request("POST", path, version, body, **more)

    def patch(self, path, version=None, body=None, **more):
        return self.request("PATCH", path, version, body, **more)

    def delete(self, path, version=None, **more):
        return self.request("DELETE", path, version, **more)

    def must(self, method, path, version=None, body=None, **more):
        """The parsed answer of a request that has to succeed; a long-running one is followed to its end."""
        answer = self.request(method, path, version, body, **more)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        if answer.status_code == 202 and "location" in answer.headers:
            answer = self.finish(answer)
        return answer.json() if answer.content else None

    def finish(self, answer):
        """Polls the Location of a 202 to the final answer."""
        where = answer.headers["location"]
        return poll(f"the end of {where}", lambda: done(self.get(where)), 20)


def elsewhere(ready: Ready):
    """A client from a network of its own: failures are counted by where they come from, and later ones refused."""
    made = Api(ready)
    made.session.mount("https://", From(f"127.{random.randint(1, 254)}.{random.randint(0, 255)}.9"))
    return made


def done(answer):
    return None if answer.status_code == 202 else answer


def error_of(answer, status, code):
    """Checks that an answer is exactly this ARM error and returns its error object."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    error = answer.json()["error"]
    assert error["code"] == code, error
    assert error["message"].rstrip().endswith((".", "Fix")), f"not a sentence: {error['message']}"
    return error


def token_answer(ready: Ready, scope, app=None, secret=None, tenant=None):
    form = {
        "grant_type": "client_credentials",
        "client_id": app or ready.app_id,
        "client_secret": secret or ready.password,
        "scope": scope,
    }
    url = f"{ready.url}/{tenant or ready.tenant}/oauth2/v2.0/token"
    with requests.Session() as session:
        session.trust_env = False
        return session.post(url, data=form, verify=ready.ca, timeout=30)


def token_of(ready: Ready, **who):
    answer = token_answer(ready, f"{ready.url}//.default", **who)
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"]


class Ran(SimpleNamespace):
    """How a command ended."""

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def text(self):
        return self.out + self.err


class Az:
    """The stock `az` with a configuration of its own."""

    def __init__(self, ready: Ready, folder: Path, instance_discovery="false"):
        self.ready = ready
        self.folder = folder
        self.program = shutil.which("az", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
        assert self.program, "there is no `az`: install tests/az/requirements.txt"
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
            "HOME": str(folder),
            "AZURE_CONFIG_DIR": str(folder),
            "REQUESTS_CA_BUNDLE": ready.ca,
            "AZURE_CORE_COLLECT_TELEMETRY": "no",
            "AZURE_CORE_NO_COLOR": "1",
            "AZURE_CORE_LOGIN_EXPERIENCE_V2": "off",
            "AZURE_CORE_OUTPUT": "json",
            "LANG": "C.UTF-8",
        }
        if instance_discovery is not None:
            self.environment["AZURE_CORE_INSTANCE_DISCOVERY"] = instance_discovery

    def run(self, *arguments, timeout=60):
        began = time.monotonic()
        ended = subprocess.run(
            [self.program, *arguments], env=self.environment, capture_output=True, text=True, timeout=timeout, check=False
        )
        now = time.monotonic()
        return Ran(code=ended.returncode, out=ended.stdout, err=ended.stderr, seconds=now - began, ended=now)

    def __call__(self, *arguments, **more):
        """The parsed output of a command that has to succeed."""
        ran = self.run(*arguments, **more)
        assert ran.code == 0, f"az {' '.join(arguments)}: exit {ran.code}\n{ran.out}{ran.err}"
        return json.loads(ran.out) if ran.out.strip() else None

    def fails(self, *arguments, code=1, says=()):
        """A command that has to fail with an exit code and print texts."""
        ran = self.run(*arguments)
        assert ran.code == code, f"az {' '.join(arguments)}: exit {ran.code}, not {code}\n{ran.text}"
        assert "Traceback" not in ran.text, ran.text
        for text in [says] if isinstance(says, str) else says:
            assert text in ran.text, f"{text!r} is not in:\n{ran.text}"
        return ran

    def register(self, base=None, name="sekisho"):
        self("cloud", "register", "-n", name, "--endpoint-resource-manager", base or self.ready.url)
        self("cloud", "set", "-n", name)

    def login(self, app=None, secret=None):
        return self(
            "login", "--service-principal", "-u", app or self.ready.app_id, "-p", secret or self.ready.password,
            "--tenant", self.ready.tenant,
        )


# Runs inside a machine's namespace and answers one line per command, so that a probe costs no process start.
PROBER = r"""
import json, socket, sys, time
held = {}
for line in sys.stdin:
    command, *rest = json.loads(line)
    out = {"at": time.monotonic()}
    try:
        if command == "connect":
            address, port, wait = rest
            with socket.create_connection((address, port), wait) as s:
                out["ok"] = True
        elif command == "fetch":
            address, port, wait = rest
            with socket.create_connection((address, port), wait) as s:
                s.settimeout(wait)
                s.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                text = b""
                while chunk := s.recv(4096):
                    text += chunk
                out["ok"] = text.decode().split("\r\n\r\n")[1].strip()
        elif command == "hold":
            name, address, port, wait = rest
            held[name] = socket.create_connection((address, port), wait)
            out["ok"] = True
        elif command == "finish":
            name, wait = rest
            s = held.pop(name)
            s.settimeout(wait)
            s.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            text = b""
            while chunk := s.recv(4096):
                text += chunk
            s.close()
            out["ok"] = text.decode().split("\r\n\r\n")[1].strip()
        elif command == "listen":
            address, port = rest
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            s = socket.socket(family)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((address, port))
            s.listen(64)
            held[f"{address} {port}"] = s
            out["ok"] = True
    except (OSError, KeyError) as error:
        out["ok"] = False
        out["why"] = f"{type(error).__name__}: {error}"
    print(json.dumps(out), flush=True)
"""


class Machine:
    """A machine of the demo as seen from its own network namespace."""

    def __init__(self, name, netns, address):
        self.name, self.netns, self.address = name, netns, address
        last = address.rsplit(".", 1)[1]
        self.address6 = f"fd77::{last}"
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", netns, sys.executable, "-c", PROBER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )

    def ask(self, *command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the prober in {self.netns} ended"
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


class Page(Api):
    """The portal's own page in a person's browser: what must be confirmed is, with the person's passkey."""

    def __init__(self, ready: Ready, passkey: Passkey):
        super().__init__(ready)
        self.passkey = passkey
        self.session.headers.update({"origin": ready.url, "sec-fetch-site": "same-origin"})

    def request(self, method, path, version=None, body=None, **more):
        answer = super().request(method, path, version, body, **more)
        asked = step_up_of(answer)
        if not asked:
            return answer
        proof = {"ceremony": asked["ceremony"], "credential": self.passkey.get(asked["publicKey"])}
        approval = super().request("POST", "/auth/stepup", body=proof)
        assert approval.ok, approval.text
        more["headers"] = {**more.get("headers", {}), "sekisho-approval": approval.json()["approval"]}
        more.pop("json", None)
        return super().request(method, path, version, body, **more)


def step_up_of(answer):
    """What a refusal asks to have confirmed."""
    if answer.status_code != 401 or "StepUp" not in answer.text:
        return None
    told = answer.json()["error"].get("additionalInfo", [])
    return next((info["info"] for info in told if info["type"] == "StepUp"), None)


class Administrator:
    """A person who owns everything, enrolled by a set-up link, in a browser's session."""

    def __init__(self, ready: Ready):
        self.ready = ready
        self.name = f"az-tests-{uuid.uuid4().hex[:8]}@localhost"
        self.api = Page(ready, Passkey(ready.url))
        token = ready.admin("/setup-link", None)["link"].split("#token=")[1]
        begun = self.api.must(
            "POST", "/auth/setup/passkey/begin",
            body={"token": token, "userPrincipalName": self.name, "displayName": "az tests"})
        finished = self.api.post("/auth/setup/passkey/finish", body={
            "ceremony": begun["ceremony"], "credential": self.api.passkey.create(begun["publicKey"])})
        assert finished.status_code == 200, finished.text
        self.cookie = "; ".join(f"{c.name}={c.value}" for c in finished.cookies)
        self.api.session.cookies.update(finished.cookies)
        self.id = self.api.must("GET", "/v1.0/me")["id"]
        self.tidy()

    def add_principal(self, name):
        """An application with its service principal, without any right, and one secret."""
        application = self.api.must("POST", "/v1.0/applications", body={"displayName": name})
        principal = self.api.must("POST", "/v1.0/servicePrincipals", body={"appId": application["appId"]})
        secret = self.api.must("POST", f"/v1.0/applications/{application['id']}/addPassword", body={})
        return SimpleNamespace(
            application=application["id"], app=application["appId"], principal=principal["id"],
            secret=secret["secretText"], key=secret["keyId"],
        )

    def remove_application(self, application):
        answer = self.api.delete(f"/v1.0/applications/{application}")
        assert answer.status_code in (204, 404), answer.text

    def own(self, principal):
        """Makes a service principal an Owner of everything: the assignment's path."""
        path = f"/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
        self.api.must("PUT", path, ROLES, {"properties": {
            "principalId": principal, "principalType": "ServicePrincipal",
            "roleDefinitionId": f"/providers/Microsoft.Authorization/roleDefinitions/{OWNER}"}})
        return path

    def root_assignments(self, api=None):
        found = (api or self.api).must("GET", "/providers/Microsoft.Authorization/roleAssignments", ROLES)["value"]
        return {f"/providers/Microsoft.Authorization/roleAssignments/{a['name']}": a["properties"]["principalId"]
                for a in found if a["properties"]["scope"] == "/"}

    def tidy(self):
        """Removes the Owners that earlier runs had to leave behind."""
        for application in self.api.must("GET", "/v1.0/applications")["value"]:
            if application["displayName"] == CLEANER:
                self.remove_application(application["id"])
        living = [p["id"] for kind in ("users", "groups", "servicePrincipals")
                  for p in self.api.must("GET", f"/v1.0/{kind}")["value"]]
        for path, principal in self.root_assignments().items():
            if principal not in living:
                self.api.must("DELETE", path, ROLES)

    def leave(self):
        """Removes the person again, by a principal that is Owner, since nobody removes himself. The server keeps a last
        Owner, so when the demo has no other that principal stays until the next run."""
        helper = self.add_principal(CLEANER)
        self.own(helper.principal)
        other = Api(self.ready, token_of(self.ready, app=helper.app, secret=helper.secret))
        for path, principal in self.root_assignments(other).items():
            if principal == self.id:
                other.must("DELETE", path, ROLES)
        other.must("DELETE", f"/v1.0/users/{self.id}")
        answer = other.delete(f"/v1.0/applications/{helper.application}")
        assert answer.status_code in (204, 409), answer.text


def join_request(join_string, hostname):
    """What a machine sends to be let in, with a key of its own."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return {
        "secret": join_string.rsplit(".", 1)[1],
        "csr": csr.public_bytes(serialization.Encoding.PEM).decode(),
        "hostname": hostname,
    }


def enrolment_token(api: Api, group, **properties):
    """A token's id and its join string."""
    path = f"{group}/providers/Sekisho.Fleet/enrolmentTokens/t-{uuid.uuid4().hex[:8]}"
    made = api.must("PUT", path, FLEET, {"location": "home", "properties": {"ttlSeconds": 600, **properties}})
    return path, made["properties"]["joinString"]


def join_machine(api: Api, group, hostname):
    """A machine that joined and is silent since: its id."""
    path, join_string = enrolment_token(api, group)
    answer = elsewhere(api.ready).post("/link/join", body=join_request(join_string, hostname))
    assert answer.status_code == 201, answer.text
    api.must("DELETE", path, FLEET)
    return answer.json()["machine"]
