"""An authenticator in memory: makes passkeys and signs with them, as a phone would (WebAuthn level 2)."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2 import cbor
from fido2.cose import ES256

ORIGIN = "https://localhost"
_PRESENT, _VERIFIED, _ATTESTED = 1, 4, 64


@dataclass
class SoftPasskey:
    """One passkey for one account."""

    origin: str = ORIGIN
    verifies_user: bool = True
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    id: bytes = field(default_factory=lambda: os.urandom(32))
    account: bytes = b""

    def create(self, options: dict[str, Any]) -> str:
        """The credential for `creation_options`, as JSON."""
        asked = options["publicKey"]
        self.account = _decode(asked["user"]["id"])
        attested = bytes(16) + struct.pack(">H", len(self.id)) + self.id + cbor.encode(dict(_cose(self.key)))
        data = self._authenticator_data(asked["rp"]["id"], _ATTESTED) + attested
        attestation = cbor.encode({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client_data("webauthn.create", asked["challenge"])
        response = {"clientDataJSON": _encode(client), "attestationObject": _encode(attestation), "transports": []}
        return self._credential(response)

    def get(self, options: dict[str, Any]) -> str:
        """The credential for `request_options`, as JSON."""
        asked = options["publicKey"]
        data = self._authenticator_data(asked["rpId"], 0)
        client = self._client_data("webauthn.get", asked["challenge"])
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        response = {
            "clientDataJSON": _encode(client),
            "authenticatorData": _encode(data),
            "signature": _encode(signature),
            "userHandle": _encode(self.account),
        }
        return self._credential(response)

    def _authenticator_data(self, rp_id: str, more: int) -> bytes:
        flags = _PRESENT | more | (_VERIFIED if self.verifies_user else 0)
        return hashlib.sha256(rp_id.encode()).digest() + struct.pack(">BI", flags, 0)

    def _client_data(self, kind: str, challenge: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin}).encode()

    def _credential(self, response: dict[str, Any]) -> str:
        return json.dumps(
            {
                "type": "public-key",
                "id": _encode(self.id),
                "rawId": _encode(self.id),
                "response": response,
                "clientExtensionResults": {},
            }
        )


def _cose(key: ec.EllipticCurvePrivateKey) -> Any:
    return ES256.from_cryptography_key(key.public_key())


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
