"""Vectors of an enrolment at a broker: a ticket and a proof, and changed ones with their verdicts."""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.errors import FormatError
from agent.wire import strictjson
from agent.wire.broker_enrolment import BrokerTicket, device_proof, proven_device, read_ticket
from tests.wire import samples

TLS_KEY = (
    ec.derive_private_key(0xD00B, ec.SECP256R1())
    .public_key()
    .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
)
TICKET = BrokerTicket(
    v=1, host="broker.example", port=8887, broker_port=8883, token="dwt_AAECAwQFBgcICQoLDA0ODxAREhM",
    authority="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
)  # fmt: skip


def vectors() -> Any:
    proof = device_proof(samples.DEVICE, TLS_KEY)
    return {
        "tls_key": base64.b64encode(TLS_KEY).decode(),
        "device": samples.DEVICE_KEY.text,
        "proof": proof,
        "proofs": {name: {"proof": each, "verdict": _proven(each)} for name, each in _changed_proofs(proof).items()},
        "ticket": strictjson.encode(TICKET).decode(),
        "tickets": {name: {"ticket": each, "verdict": _read(each)} for name, each in _changed_tickets().items()},
    }


def _changed_proofs(proof: str) -> dict[str, str]:
    public, _, signature = proof.partition(".")
    flipped = "A" if signature[10] != "A" else "B"
    return {
        "good": proof,
        "over another key": device_proof(samples.DEVICE, TLS_KEY + b"\0"),
        "of another device": f"{samples.ROOT_KEY.ed25519.text.partition(':')[2]}.{signature}",
        "one bit": f"{public}.{signature[:10]}{flipped}{signature[11:]}",
        "no dot": public + signature,
        "padded": f"{proof}==",
        "small order": f"{'A' * 43}.{signature}",
        "short": proof[:-1],
    }


def _changed_tickets() -> dict[str, str]:
    good = json.loads(strictjson.encode(TICKET))

    def changed(**changes: Any) -> str:
        return json.dumps({**good, **changes}, sort_keys=True, separators=(",", ":"))

    return {
        "good": changed(),
        "an address": changed(host="2001:db8::1"),
        "another version": changed(v=2),
        "a space in the host": changed(host="broker example"),
        "port 0": changed(port=0),
        "a port too high": changed(broker_port=65_536),
        "a short token": changed(token=good["token"][:-1]),
        "another token": changed(token=f"dwx_{good['token'][4:]}"),
        "a key instead of a certificate": changed(authority=good["authority"].replace("CERTIFICATE", "PRIVATE KEY")),
        "two certificates": changed(authority=good["authority"] * 2),
        "an unknown key": changed(password="x"),
        "no token": json.dumps({key: value for key, value in good.items() if key != "token"}),
    }


def _proven(proof: str) -> str:
    try:
        return proven_device(proof, TLS_KEY).text
    except FormatError:
        return "refused"


def _read(ticket: str) -> str:
    try:
        read_ticket(ticket.encode())
    except FormatError:
        return "malformed"
    return "accepted"
