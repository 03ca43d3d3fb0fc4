"""Enrolment of a doorbell at a broker with a one-time token: the ticket, and the proof in the signing request.

The exchange is EST (RFC 7030, "simple enroll"): HTTPS, the token as password, a PKCS #10 request, a PKCS #7 answer.

- A ticket is one small file for a doorbell: the broker's address, its authority and a token. The token is a secret
  until a doorbell has used it.
- A doorbell's name at the broker is the id of its device key. The request therefore carries, as its challenge password
  (RFC 2985, 5.4.1), the device's public key and its signature over the TLS key. A token enrols no other doorbell.

Source: RFC 7030 (EST), RFC 8951 (its base64); PROTOCOL.md, "Enrolment at a broker". Pure.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Meta

from agent.errors import FormatError, OpenError
from agent.wire import strictjson
from agent.wire.fields import Version1
from agent.wire.identities import PublicKey, parse_public_key, public_key_of
from agent.wire.strictjson import Message, form

__all__ = [
    "CA_CERTIFICATES",
    "PKCS7_TYPE",
    "PKCS10_TYPE",
    "RENEWAL_DAYS",
    "SIMPLE_ENROLL",
    "TICKET_LIMIT_BYTES",
    "TOKEN_BYTES",
    "USER",
    "BrokerTicket",
    "device_proof",
    "proven_device",
    "read_ticket",
    "token_id",
]

SIMPLE_ENROLL: Final = "/.well-known/est/simpleenroll"
CA_CERTIFICATES: Final = "/.well-known/est/cacerts"
PKCS10_TYPE: Final = "application/pkcs10"
PKCS7_TYPE: Final = "application/pkcs7-mime; smime-type=certs-only"
USER: Final = "doorbell"
"""The user name beside the token (RFC 7617). It selects nothing."""
TOKEN_BYTES: Final = 20
RENEWAL_DAYS: Final = 60
"""If a certificate ends within this many days, its doorbell asks with a new ticket, and the broker makes a new one."""
TICKET_LIMIT_BYTES: Final = 40 * 1024
_CONTEXT: Final = b"doorward-broker-enrolment v1\0"
"""Separates this signature from every other one of the device key: an envelope's begins with "DSSEv1"."""
_PREFIX: Final = "ed25519:"
_PORT: Final = Meta(ge=1, le=65_535)

TokenText = Annotated[str, form(r"^dwt_[A-Za-z0-9_-]{27}\Z", "a token, dwt_…")]
"""160 random bits in base64url. The prefix lets programs that look for secrets find it."""


class BrokerTicket(Message, frozen=True):
    """The file `doorward.enrol`: where a doorbell gets its certificate, and its right to one.

    `port`: of the EST server. `broker_port`: the broker's for doorbells. `authority`: the certificate in PEM that
    signed the certificates of both.
    """

    v: Version1
    host: Annotated[str, form(r"^[A-Za-z0-9.:_-]{1,253}\Z", "a host name or address")]
    port: Annotated[int, _PORT]
    broker_port: Annotated[int, _PORT]
    authority: Annotated[
        str,
        form(
            r"^-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]{1,32000}-----END CERTIFICATE-----\n\Z",
            "one certificate in PEM",
        ),
    ]
    token: TokenText


def read_ticket(data: bytes) -> BrokerTicket:
    """Raises `FormatError` that names the field, and never shows the token."""
    remedy = "Get a new ticket from the broker's operator: doorward broker add-tokens"
    try:
        return strictjson.decode(data, BrokerTicket, limit_bytes=TICKET_LIMIT_BYTES)
    except FormatError as error:
        raise FormatError(error.message, remedy=remedy) from error


def token_id(token: str) -> str:
    """Returns the name under which a broker keeps a token, 64 hex digits. It does not tell the token."""
    return hashlib.sha256(token.encode()).hexdigest()


def device_proof(device: Ed25519PrivateKey, tls_key: bytes) -> str:
    """Returns the challenge password of a request. `tls_key`: its public key, as SubjectPublicKeyInfo in DER."""
    public = public_key_of(device).text.removeprefix(_PREFIX)
    return f"{public}.{strictjson.encode_base64url(device.sign(_CONTEXT + tls_key))}"


def proven_device(proof: str, tls_key: bytes) -> PublicKey:
    """Returns the device key that signed `tls_key`. Raises `FormatError`, or `OpenError` for a wrong signature."""
    public, dot, signature = proof.partition(".")
    if not dot:
        raise FormatError("The request has no proof of a device key.")
    device = parse_public_key(f"{_PREFIX}{public}")
    if not device.verifies(strictjson.decode_base64url(signature), _CONTEXT + tls_key):
        raise OpenError("The request is not signed by the device that it names.")
    return device
