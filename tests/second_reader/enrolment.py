"""The ticket and the proof of an enrolment at a broker: PROTOCOL.md, section 9."""

from __future__ import annotations

import base64
import re
from typing import Any

from tests.second_reader.envelope import public_key, verified
from tests.second_reader.json_once import V1, fields, integer, matching, parse, refuse_unless


def ticket(data: bytes) -> dict[str, Any]:
    port = integer(1, 65_535)
    return fields(
        parse(data, limit=40_960),
        {
            "v": V1,
            "host": matching("[A-Za-z0-9.:_-]{1,253}"),
            "port": port,
            "broker_port": port,
            "authority": matching("-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]{1,32000}-----END CERTIFICATE-----\n"),
            "token": matching("dwt_[A-Za-z0-9_-]{27}"),
        },
    )


def device_of(proof: str, tls_key: bytes) -> bytes:
    """Returns the public key of the device that proves `tls_key` (SubjectPublicKeyInfo in DER)."""
    found = re.fullmatch("([A-Za-z0-9_-]{43})[.]([A-Za-z0-9_-]{86})", proof, re.ASCII)
    refuse_unless(found is not None, "proof")
    assert found is not None
    key = public_key(f"ed25519:{found[1]}")
    signature = base64.urlsafe_b64decode(f"{found[2]}==")
    refuse_unless(base64.urlsafe_b64encode(signature).decode().rstrip("=") == found[2], "spare bits")
    refuse_unless(verified(key, signature, b"doorward-broker-enrolment v1\0" + tls_key), "proof")
    return key
