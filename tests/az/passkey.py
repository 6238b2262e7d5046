"""A passkey in software: what a browser and its authenticator do together (WebAuthn Level 3, attestation "none")."""

import base64
import hashlib
import json
import os

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def data(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Passkey:
    def __init__(self, origin):
        self.origin = origin
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = os.urandom(32)
        self.handle = b""
        self.count = 0

    def create(self, options):
        """Answers the options of a registration."""
        self.handle = data(options["user"]["id"])
        numbers = self.key.public_key().public_numbers()
        x, y = (n.to_bytes(32, "big") for n in (numbers.x, numbers.y))
        # CBOR: {1: 2, 3: -7, -1: 1, -2: x, -3: y}, an EC2 key for ES256 on P-256.
        public = bytes.fromhex("a5010203262001215820") + x + bytes.fromhex("225820") + y
        attested = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + public
        said = self.authenticator_data(options["rp"]["id"], PRESENT | VERIFIED | ATTESTED) + attested
        # CBOR: {"fmt": "none", "attStmt": {}, "authData": said}
        attestation = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59" + len(said).to_bytes(2, "big") + said
        return self.credential(
            attestationObject=text(attestation), clientDataJSON=text(self.client_data("webauthn.create", options)))

    def get(self, options):
        """Answers the options of a sign-in or of a confirmation."""
        said = self.authenticator_data(options["rpId"], PRESENT | VERIFIED)
        client = self.client_data("webauthn.get", options)
        signature = self.key.sign(said + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return self.credential(
            authenticatorData=text(said), clientDataJSON=text(client), signature=text(signature),
            userHandle=text(self.handle))

    def authenticator_data(self, rp, flags):
        self.count += 1
        return hashlib.sha256(rp.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")

    def client_data(self, kind, options):
        said = {"type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": False}
        return json.dumps(said).encode()

    def credential(self, **response):
        return {"id": text(self.id), "rawId": text(self.id), "type": "public-key", "response": response,
                "clientExtensionResults": {}}
