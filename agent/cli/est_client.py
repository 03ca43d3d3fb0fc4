"""Exchanges a doorbell's ticket for a certificate: the client of EST (RFC 7030, simple enroll).

TLS 1.3 to a server that the ticket's authority signed, and no other. The token leaves the doorbell only inside that
connection. Answers are small, and each has a time limit.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import ssl
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7

from agent.errors import ConfigurationError, NetworkError
from agent.wire.broker_enrolment import PKCS7_TYPE, PKCS10_TYPE, SIMPLE_ENROLL, USER, BrokerTicket

__all__ = ["enrol"]

_TIMEOUT_S: Final = 20.0
_LIMIT_BYTES: Final = 64 * 1024
_OK: Final = 200
_FAULT_OF_SERVER: Final = 500
_LONGEST_REASON: Final = 300


def enrol(ticket: BrokerTicket, request: bytes) -> x509.Certificate:
    """Returns the certificate for `request` (PKCS #10 in DER).

    Raises `NetworkError` if another try may work, `ConfigurationError` if the broker's side refused, or if the server's
    certificate is not one of the ticket's authority.
    """
    place = f"{ticket.host}:{ticket.port}"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # Python's own default contexts have it since 3.13 (RFC 5280). This one must not depend on the version.
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        # This authority alone. One of the system's could vouch for a server that collects tokens.
        context.load_verify_locations(cadata=ticket.authority)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError("The ticket's authority is not a certificate.", remedy="Get a new ticket.") from error
    connection = http.client.HTTPSConnection(ticket.host, ticket.port, timeout=_TIMEOUT_S, context=context)
    try:
        connection.request("POST", SIMPLE_ENROLL, base64.encodebytes(request), _headers(ticket.token))
        answer = connection.getresponse()
        body = answer.read(_LIMIT_BYTES)
    except ssl.SSLCertVerificationError as error:
        raise ConfigurationError(
            f"{place} is not the broker of this ticket ({error.verify_message}). The token was not sent.",
            remedy="Check the address. If the clock of this machine is wrong, set it.",
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise NetworkError(
            f"{place} cannot be reached ({error}).",
            remedy="Check the network, and that 'doorward broker est' runs on the broker. Then try again.",
        ) from error
    finally:
        connection.close()
    if answer.status != _OK:
        raise _refusal(answer.status, body, place)
    return _certificate_in(answer.headers.get_content_type(), body, place)


def _headers(token: str) -> dict[str, str]:
    password = base64.b64encode(f"{USER}:{token}".encode()).decode()
    return {"Authorization": f"Basic {password}", "Content-Type": PKCS10_TYPE}


def _refusal(status: int, body: bytes, place: str) -> ConfigurationError | NetworkError:
    text = body.decode(errors="replace")[:_LONGEST_REASON]
    # A server's words go to a terminal, and must not move its cursor or fill it.
    said = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
    if status >= _FAULT_OF_SERVER:
        return NetworkError(f"{place} could not sign: {said}", remedy="Read its log. Then try again.")
    return ConfigurationError(
        f"{place} refuses: {said}", remedy="Mend that with the broker's operator, and get a new ticket if it says so."
    )


def _certificate_in(kind: str, body: bytes, place: str) -> x509.Certificate:
    """Returns the one certificate of an answer."""
    found: list[x509.Certificate] = []
    if kind == PKCS7_TYPE.partition(";")[0]:
        with contextlib.suppress(ValueError):  # binascii.Error is one
            found = pkcs7.load_der_pkcs7_certificates(base64.b64decode(b"".join(body.split()), validate=True))
    if len(found) != 1:
        raise NetworkError(
            f"The answer of {place} is not one certificate.", remedy="Check that it is 'doorward broker est'."
        )
    return found[0]
