"""Gives doorbells their certificates for one-time tokens: an EST server (RFC 7030) beside the broker.

`POST /.well-known/est/simpleenroll` with a PKCS #10 request, and the token as HTTP password, answers with the
certificate (PKCS #7). `GET /.well-known/est/cacerts` answers with the authorities. Anything else is refused.

- The server has the broker's certificate, so a doorbell checks it against the authority of its ticket. TLS 1.3 only.
- It needs the key of the device authority. Run it while doorbells are installed: it ends when no token is open.
- A request proves the device's key (`wire.broker_enrolment`), and its token is bound before the certificate is signed.
- A client has ten seconds for each read, a minute for all, and a small request. Refusals name no token.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import datetime
import hashlib
import io
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Final

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, pkcs7
from cryptography.x509.oid import AttributeOID

from agent.clients.broker.broker_pki import BrokerPki, Role, requested_key
from agent.clients.broker.enrolment_tokens import EnrolmentTokens
from agent.errors import ConfigurationError, DoorwardError, FormatError, RequestError
from agent.platform import files
from agent.platform.bounded_server import BoundedServer
from agent.wire.broker_enrolment import (
    CA_CERTIFICATES,
    PKCS7_TYPE,
    PKCS10_TYPE,
    SIMPLE_ENROLL,
    proven_device,
)

__all__ = ["EstServer"]

_IDLE_S: Final = 10.0
_LONGEST_S: Final = 60.0
_LIMIT_BYTES: Final = 16 * 1024
_REQUEST_BYTES: Final = 64 * 1024
"""Size of a whole request with its headers. Python's server alone would take 6 MB of headers."""
_TURN_S: Final = 0.5


class _HttpsServer(BoundedServer, socketserver.TCPServer):
    most_clients = 64
    request_queue_size = 64
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext, est: EstServer) -> None:
        self.est = est
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _EstHandler)
        # The handshake runs in the thread of its client: a client that says nothing must not hold up `accept`.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, *_: Any) -> None:
        """Logs a bug with its place. Clients that hang up or speak another TLS are left out: a scan brings hundreds."""
        if not isinstance(sys.exception(), OSError):
            structlog.get_logger("est").error("enrolment_broke", exc_info=True)


class _BoundedReader:
    """Reads a request and ends after `_REQUEST_BYTES`, as if its client had sent no more."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file = file
        self._left = _REQUEST_BYTES

    def readline(self, size: int) -> bytes:
        return self._counted(self._file.readline(min(size, self._left)))

    def read(self, size: int) -> bytes:
        return self._counted(self._file.read(min(size, self._left)))

    def close(self) -> None:
        self._file.close()

    def _counted(self, data: bytes) -> bytes:
        self._left -= len(data)
        return data


class _EstHandler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: _HttpsServer
    timeout = _IDLE_S
    server_version, sys_version = "doorward", ""

    def setup(self) -> None:
        super().setup()
        self.rfile = _BoundedReader(self.rfile)  # type: ignore[assignment]
        self._limit = threading.Timer(_LONGEST_S, self._cut)
        self._limit.daemon = True
        self._limit.start()

    def finish(self) -> None:
        self._limit.cancel()
        super().finish()

    def _cut(self) -> None:
        """Ends a client that sends a byte now and then, and would keep its place for ever."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def do_GET(self) -> None:
        if self.path == CA_CERTIFICATES:
            self._answer(self.server.est.authorities())
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "There is no such page.")

    def do_POST(self) -> None:
        if self.path != SIMPLE_ENROLL:
            self._refuse(HTTPStatus.NOT_FOUND, "There is no such page.")
            return
        token = self._token()
        if token is None:
            self._refuse(HTTPStatus.UNAUTHORIZED, "Give a token as the password.")
            return
        try:
            self._answer(self.server.est.enrol(token, self._body()))
        except RequestError as error:
            self._refuse(HTTPStatus.UNAUTHORIZED, error.message)
        except (FormatError, ConfigurationError) as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except DoorwardError as error:
            structlog.get_logger("est").warning("enrolment_failed", error=error.message)
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "The broker could not sign. Its log says why.")

    def _token(self) -> str | None:
        """Returns the password of HTTP basic authentication (RFC 7617), or None if there is none."""
        scheme, _, credentials = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            return base64.b64decode(credentials, validate=True).decode("ascii").partition(":")[2] or None
        except (binascii.Error, ValueError):
            return None

    def _body(self) -> bytes:
        """Returns the request in DER. Raises `FormatError`."""
        length = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() != PKCS10_TYPE or not (length.isascii() and length.isdecimal()):
            raise FormatError(f"The request is not {PKCS10_TYPE} with a length.")
        if len(length) > 6 or int(length) > _LIMIT_BYTES:
            # A client that still sends would see a reset connection instead of the reason.
            self.rfile.read(int(length) if len(length) <= 6 else _REQUEST_BYTES)
            raise FormatError(f"The request is longer than {_LIMIT_BYTES} bytes.")
        try:
            return base64.b64decode(b"".join(self.rfile.read(int(length)).split()), validate=True)
        except binascii.Error as error:
            raise FormatError("The request is not base64.") from error

    def _answer(self, certificates: bytes) -> None:
        self._send(HTTPStatus.OK, PKCS7_TYPE, base64.encodebytes(certificates))

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self.close_connection = True
        self._send(status, "text/plain; charset=utf-8", f"{reason}\n".encode())

    def _send(self, status: HTTPStatus, kind: str, data: bytes) -> None:
        self.send_response(status)
        if status is HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", 'Basic realm="doorward"')
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


class EstServer:
    """Serves from `start` to `stop`."""

    def __init__(
        self, pki: BrokerPki, tokens: EnrolmentTokens, address: tuple[str, int], enrolled: Callable[[str, str], None]
    ) -> None:
        """`enrolled` is called with the token's name and the device's id after each enrolment, from any thread.

        Raises `ConfigurationError` if the address cannot be bound or the broker's certificate cannot be used.
        """
        self._pki = pki
        self._tokens = tokens
        self._enrolled = enrolled
        self._turn = threading.Lock()
        if not files.is_file(pki.directory / "authorities" / f"{Role.DEVICE.value}.key"):
            raise ConfigurationError(
                "The key of the device authority is not here, so nothing can be signed.",
                remedy=f"Bring devices.key back to {pki.directory / 'authorities'} while doorbells are installed.",
            )
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.load_cert_chain(pki.directory / "broker.pem", pki.directory / "broker.key", password="")
            self._server = _HttpsServer(address, context, self)
        except OSError as error:
            raise ConfigurationError(
                f"Enrolments cannot be served at {address[0]}:{address[1]}: {error.strerror or error}.",
                remedy="Choose another --port, or run this as a user who may read the broker's folder.",
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_TURN_S,), name="est")

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Idempotent."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def authorities(self) -> bytes:
        """Returns the certificates of the broker's and the devices' authority, PKCS #7 in DER."""
        folder = self._pki.directory / "authorities"
        names = ("broker", Role.DEVICE.value)
        return _pkcs7([x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes()) for name in names])

    def enrol(self, token: str, request: bytes) -> bytes:
        """Returns the certificate for a request in DER, PKCS #7 in DER. Raises `DoorwardError`."""
        asked = _parse(request)
        pem = asked.public_bytes(Encoding.PEM)
        requested_key(pem)  # a request that cannot be signed must not cost the token
        tls_key = asked.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        device = proven_device(_challenge(asked), tls_key).id
        # Two requests of one doorbell at once must get one certificate.
        with self._turn, files.storage_errors(self._pki.directory):
            name = self._tokens.redeem(token, device, hashlib.sha256(tls_key).hexdigest())
            now = datetime.datetime.now(datetime.UTC)
            made = self._pki.enrol_device(device, pem, now)
        # A terminal that is gone must not cost the doorbell its answer, now and each time that it asks again.
        with contextlib.suppress(OSError):
            self._enrolled(name, device)
        return _pkcs7([x509.load_pem_x509_certificate(made)])


def _parse(request: bytes) -> x509.CertificateSigningRequest:
    try:
        asked = x509.load_der_x509_csr(request)
        asked.public_key()
        asked.attributes  # noqa: B018 (parsed only when they are read)
    except (ValueError, TypeError, x509.InvalidVersion, x509.UnsupportedGeneralNameType, UnsupportedAlgorithm) as error:
        raise FormatError("This is not a signing request.") from error
    return asked


def _challenge(asked: x509.CertificateSigningRequest) -> str:
    try:
        return asked.attributes.get_attribute_for_oid(AttributeOID.CHALLENGE_PASSWORD).value.decode("ascii")
    except (x509.AttributeNotFound, UnicodeDecodeError) as error:
        raise FormatError("The request has no proof of a device key.") from error


def _pkcs7(certificates: list[x509.Certificate]) -> bytes:
    return pkcs7.serialize_certificates(certificates, Encoding.DER)
