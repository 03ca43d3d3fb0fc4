"""The TLS 1.3 context of a client, and what a failed connection means in a person's words.

In TLS 1.3 a client's handshake is over before the broker has looked at the client's certificate. A refusal comes as an
alert on the first read, and is lost if the broker's reset overtakes it: `probe` connects once more, sends nothing, and
waits for the alert. Source: RFC 8446 §4.4.2.4 and §6.2 (alerts); OpenSSL verify codes as in `x509_vfy.h`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from agent.core.bus import LinkFault
from agent.errors import ConfigurationError
from agent.mqtt.bus_settings import BusSettings
from agent.mqtt.faults import LinkError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["TlsSocket", "explain", "make_context", "probe", "read_password", "tune"]

_NOT_NOW = (ssl.SSLWantReadError, ssl.SSLWantWriteError)

_CUT_OFF = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
_NOT_YET_VALID, _EXPIRED = 9, 10
_WRONG_NAME = frozenset({62, 64})
_REFUSALS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "DECRYPT_ERROR")
_PROBE_S = 2.0
_MOST_PASSWORD_BYTES = 16 << 10
"""A token can be long. MQTT allows 65535."""


class TlsSocket(ssl.SSLSocket):
    """A TLS socket that closes itself when its handshake fails, and remembers the error that ended it.

    paho does neither: it leaks the one and tells the other only to its log.
    """

    failure: OSError | None = None

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        # paho drops the only reference to a socket after a failed handshake, which would leak its descriptor.
        except BaseException:
            self.close()
            raise

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except _NOT_NOW:
            raise
        except OSError as error:
            self.failure = error
            raise

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        try:
            return super().send(data, flags)
        except _NOT_NOW:
            raise
        # `ssl.SSLError` is an `OSError`, so a damaged PEM file and a key of another certificate come here, too.
        except OSError as error:
            self.failure = self.failure or error
            raise


def make_context(settings: BusSettings) -> ssl.SSLContext:
    """TLS 1.3 only; the broker must be signed by our authority, for its host name; our certificate is offered.

    Raises `ConfigurationError` naming the file that cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = TlsSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # Without this flag, OpenSSL accepts some certificates that RFC 5280 forbids.
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        # This authority alone. The system's list would let each public authority name a broker.
        context.load_verify_locations(settings.authority)
    except OSError as error:
        raise ConfigurationError(
            f"The broker's authority {settings.authority} cannot be read ({error.strerror or error}).",
            remedy="Give the PEM file of the authority that signed the broker's certificate.",
        ) from error
    if settings.certificate is None or settings.key is None:
        return context
    try:
        # An empty pass phrase, because with None OpenSSL would ask on the terminal for the one of an encrypted key.
        context.load_cert_chain(settings.certificate, settings.key, password="")
    except OSError as error:
        why = error.strerror or error
        raise ConfigurationError(
            f"The certificate {settings.certificate} with the key {settings.key} cannot be used ({why}).",
            remedy="Both must be PEM, belong together, be readable by this user, and the key not be encrypted.",
        ) from error
    return context


def read_password(path: Path) -> bytes:
    """Returns the one line of the file. Raises `ConfigurationError` if users outside of its group may read it, or if it
    holds anything else."""
    try:
        # Without O_NONBLOCK a pipe there would be waited for.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            told = os.fstat(file.fileno())
            data = file.read(_MOST_PASSWORD_BYTES + 1) if stat.S_ISREG(told.st_mode) else b""
        mode = stat.S_IMODE(told.st_mode)
    except OSError as error:
        raise ConfigurationError(
            f"The broker's password file {path} cannot be read ({error.strerror}).",
            remedy="Write the password or token into it, and let only this user read it.",
        ) from error
    if mode & 0o007:  # of the group, systemd's copy shows the mask of its access list
        raise ConfigurationError(f"{path} can be read by others (mode {mode:04o}).", remedy=f"chmod 600 {path}")
    password = data.removeprefix("\ufeff".encode()).rstrip(b"\r\n")  # some editors begin a file with that mark
    if not password or len(data) > _MOST_PASSWORD_BYTES or b"\n" in password or b"\0" in password:
        raise ConfigurationError(
            f"The broker's password file {path} must hold one line of at most {_MOST_PASSWORD_BYTES} bytes.",
            remedy="Write the password or token into it, and nothing else.",
        )
    return password


def tune(sock: socket.socket, settings: BusSettings) -> None:
    """Sets options that help on bad links, as far as the kernel has them."""
    wishes: list[tuple[str, int | bytes]] = [
        ("TCP_CONGESTION", settings.congestion),
        ("TCP_USER_TIMEOUT", settings.user_timeout_ms),
        ("TCP_NODELAY", 1),
    ]
    for name, value in wishes:
        option = getattr(socket, name, None)
        if option is not None:
            # A kernel without bbr refuses the option. The connection then works with the congestion control of the
            # system.
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, option, value)


def probe(settings: BusSettings, context: ssl.SSLContext) -> LinkError | None:
    """Why the broker hangs up before its CONNACK, if its TLS says so."""
    try:
        with (
            socket.create_connection((settings.host, settings.port), timeout=settings.connect_s) as plain,
            context.wrap_socket(plain, server_hostname=settings.host) as sock,
        ):
            sock.settimeout(_PROBE_S)
            sock.recv(1)
    except TimeoutError:
        return None  # it waits for our CONNECT: our certificate is good
    except OSError as error:
        found = explain(error, settings)
        return found if found.fault is LinkFault.CERTIFICATE_REFUSED else None
    return None


def explain(error: OSError, settings: BusSettings, *, established: bool = False) -> LinkError:
    """The fault behind an error of the socket or of TLS, `established` when the handshake was over before."""
    place = f"{settings.host}:{settings.port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return _explain_verification(error, place, settings)
    if isinstance(error, ssl.SSLError):
        return _explain_tls(error, place, settings, established)
    if established or isinstance(error, ConnectionResetError | BrokenPipeError):
        # TCP_USER_TIMEOUT appears as a time-out. Before the connection it would mean an unreachable broker.
        return LinkError(LinkFault.LOST, f"The connection to {place} broke ({error}).")
    if isinstance(error, socket.gaierror):
        return LinkError(
            LinkFault.UNREACHABLE,
            f"The broker's name {settings.host} cannot be looked up ({error.strerror}).",
            remedy="Check the name, and that this machine has a network and a name server.",
        )
    if isinstance(error, ConnectionRefusedError):
        return LinkError(
            LinkFault.UNREACHABLE,
            f"No program listens at {place}.",
            remedy="Check host and port, and that the broker runs.",
        )
    if isinstance(error, TimeoutError):
        return LinkError(
            LinkFault.UNREACHABLE,
            f"The broker at {place} does not answer.",
            remedy="Check the network, host and port, and any firewall between.",
        )
    return LinkError(
        LinkFault.UNREACHABLE, f"The broker at {place} cannot be reached ({error}).", remedy="Check the network."
    )


def _explain_verification(error: ssl.SSLCertVerificationError, place: str, settings: BusSettings) -> LinkError:
    if error.verify_code == _NOT_YET_VALID:
        return LinkError(
            LinkFault.CLOCK,
            f"The certificate of the broker at {place} is not valid yet.",
            remedy="The clock of this machine is probably wrong: set it, or wait until it has the time.",
        )
    if error.verify_code == _EXPIRED:
        return LinkError(
            LinkFault.CLOCK,
            f"The certificate of the broker at {place} has expired.",
            remedy="Renew the broker's certificate, unless the clock of this machine runs ahead.",
        )
    if error.verify_code in _WRONG_NAME:
        return LinkError(
            LinkFault.BROKER_NOT_TRUSTED,
            f"The certificate of the broker at {place} is for another name ({error.verify_message}).",
            remedy="Connect by a name that is in the broker's certificate.",
        )
    return LinkError(
        LinkFault.BROKER_NOT_TRUSTED,
        f"The broker at {place} is not one that {settings.authority} vouches for ({error.verify_message}).",
        remedy="Give the authority that signed the broker's certificate. If it is this one, another machine answers.",
    )


def _explain_tls(error: ssl.SSLError, place: str, settings: BusSettings, established: bool) -> LinkError:
    known: str | None = getattr(error, "reason", None)  # Python sets it only on errors it makes itself
    reason = known or str(error)
    words = reason.lower().replace("_", " ")
    if "ALERT" in reason and any(word in reason for word in _REFUSALS):
        return LinkError(
            LinkFault.CERTIFICATE_REFUSED,
            f"The broker at {place} refuses the certificate {settings.certificate} ({words}).",
            remedy="It must be valid now and signed by the authority this port of the broker trusts.",
        )
    if established or isinstance(error, _CUT_OFF) or known in (None, "SYS"):
        # A reset in the middle of TLS: OpenSSL and Python word it differently with each of their versions.
        return LinkError(LinkFault.LOST, f"The connection to {place} broke.")
    return LinkError(
        LinkFault.PROTOCOL,
        f"There is no TLS 1.3 with {place} ({words}).",
        remedy="Check that the port is the broker's TLS port and that the broker speaks TLS 1.3.",
    )
