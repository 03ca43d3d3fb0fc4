"""Does the broker answer, is it the right one, does it take our certificate, and until when?

The connection goes through the same TLS settings and the same words for faults as the uplink's own.
"""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from agent.cli.checks.finding import Finding, bad, fine, poor
from agent.config import Configuration
from agent.config.derived import relay_files
from agent.config.settings import BrokerConfig
from agent.errors import ConfigurationError
from agent.mqtt.bus_settings import BusSettings
from agent.mqtt.tls import explain, make_context, read_password

__all__ = ["certificate_dates", "check_broker", "check_congestion_control", "check_relay"]

_SOON = datetime.timedelta(days=30)
_WAIT_S = 5.0
_WANTED = b"bbr"
"""As `BusSettings.congestion` has it."""
_SILENT_S = 10.0
_WEB = "relay for browsers"
_RENEW = "Make a new certificate."
_RENEW_OURS = "Run doorward link request, have it signed again, then run doorward link accept."
_RENEW_THEIRS = "Its operator renews it, for example with doorward broker renew."
_UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Key: ZG9vcndhcmQgZG9jdG9yMQ==\r\n\r\n"
)
_OF_NO_VERSION = b"\x10\x0d\0\4MQTT\x7f\2\0\0\0\0\0"
"""A CONNECT with version 127 of MQTT. A broker must reject it (MQTT 5.0, 3.1.2.2), which requires that it accepted our
certificate first. It opens no session, so the session of a running doorbell continues."""


def check_broker(broker: BrokerConfig | None, now: datetime.datetime) -> Iterator[Finding]:
    """`now` judges the certificates' dates."""
    if broker is None:
        yield fine("broker", "Not configured: Doorward only records and uses no network.")
        return
    settings = BusSettings(broker.host, broker.port, "", broker.ca, broker.certificate, broker.key, connect_s=_WAIT_S)
    try:
        context = make_context(settings)
    except ConfigurationError as error:
        yield bad("certificate", error.message, error.remedy)
        return
    if broker.certificate is not None and broker.key is not None:
        shown = x509.load_pem_x509_certificate(broker.certificate.read_bytes())
        yield certificate_dates("certificate", f"{broker.certificate}", shown, now, _RENEW_OURS)
        yield from _permissions(broker.key)
    if broker.password_file is not None:
        yield _password(broker.password_file)
    yield from _connect("broker", settings, context, now)


def check_relay(configuration: Configuration, now: datetime.datetime) -> Iterator[Finding]:
    """Checks the doorbell's way to the relay of the link. It opens no session, which would need an owner's key."""
    remote = configuration.remote
    if remote is None:
        return
    authority, certificate, key = map(Path, relay_files(configuration))
    settings = BusSettings(remote.host, remote.port, "", authority, certificate, key, connect_s=_WAIT_S)
    try:
        context = make_context(settings)
    except ConfigurationError as error:
        yield bad("relay", error.message, error.remedy)
        return
    yield from _permissions(key)
    yield from _connect("relay", settings, context, now)
    yield from _web_address(remote.url, now)


def check_congestion_control(wanted: bytes = _WANTED) -> Finding:
    """Which control of congestion a connection to the broker gets here, by asking the kernel for the one we want."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, wanted)
        got = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0")
    if got == wanted:
        return fine("congestion control", f"{got.decode()}: packet loss hardly slows uploads.")
    return poor(
        "congestion control",
        f"{got.decode()}, not {wanted.decode()}: with packet loss, an upload takes ten times as long.",
        "Run sudo modprobe tcp_bbr and again 'make install', which loads it at every start.",
    )


def _web_address(url: str, now: datetime.datetime) -> Iterator[Finding]:
    """Connects as a phone's browser does, with the authorities that this machine trusts."""
    place = urlsplit(url)
    host, port = place.hostname or "", place.port or 443
    try:
        with (
            socket.create_connection((host, port), timeout=_WAIT_S) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname=host) as link,
        ):
            shown = x509.load_der_x509_certificate(link.getpeercert(binary_form=True) or b"")
            link.sendall(_UPGRADE.format(path=place.path or "/", host=place.netloc).encode())
            answer = link.recv(64)
    except ssl.SSLCertVerificationError as error:
        yield poor(
            _WEB,
            f"This machine does not trust the certificate of {url}: {error.verify_message}.",
            "Browsers refuse it too, unless each phone has its authority. Use a certificate of a public authority.",
        )
        return
    except OSError as error:
        yield poor(
            _WEB,
            f"{url} cannot be reached from here: {error.strerror or error}.",
            "Phones away from home connect there. Try it from another network.",
        )
        return
    if not answer.startswith(b"HTTP/1.1 101"):
        yield bad(_WEB, f"{url} does not speak MQTT over WebSocket.", "Check the relay's listener for browsers.")
        return
    yield fine(_WEB, f"{url} answers with a certificate that this machine trusts.")
    yield certificate_dates(f"{_WEB}'s certificate", "It", shown, now)
    if _offers_http2(host, port):
        yield poor(
            _WEB,
            f"Firefox cannot use {url}: the relay offers HTTP/2, and mosquitto does not answer WebSockets there.",
            "Use another browser, or a mosquitto whose libwebsockets lacks HTTP/2 (its makers' container image).",
        )


def _offers_http2(host: str, port: int) -> bool:
    """Returns whether the listener chooses HTTP/2 (eclipse-mosquitto/mosquitto, issue 1211; RFC 8441)."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        with (
            socket.create_connection((host, port), timeout=_WAIT_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as link,
        ):
            return link.selected_alpn_protocol() == "h2"
    except OSError:
        return False  # it was there a moment ago


def certificate_dates(
    subject: str, name: str, certificate: x509.Certificate, now: datetime.datetime, remedy: str = _RENEW
) -> Finding:
    """Returns whether a certificate counts on this day. `name`: the beginning of the sentence. `remedy`: a new one."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begins:
        return bad(
            subject, f"{name} becomes valid on {begins:%Y-%m-%d}.", "Correct the clock, or make a new certificate."
        )
    if now >= ends:
        return bad(subject, f"{name} expired on {ends:%Y-%m-%d}.", remedy)
    if ends - now < _SOON:
        return poor(subject, f"{name} expires on {ends:%Y-%m-%d}.", remedy)
    return fine(subject, f"{name} is valid until {ends:%Y-%m-%d}.")


def _permissions(key: Path) -> Iterator[Finding]:
    if stat.S_IMODE(key.stat().st_mode) & 0o077:
        yield poor("key", f"Others on this machine can read {key}.", f"chmod 600 {key}")


def _password(path: Path) -> Finding:
    try:
        read_password(path)
    except ConfigurationError as error:
        return bad("password", error.message, error.remedy)
    return fine("password", f"{path} can be used. A thief of it can act as this doorbell at the broker.")


def _connect(name: str, settings: BusSettings, context: ssl.SSLContext, now: datetime.datetime) -> Iterator[Finding]:
    """Connect, look at the broker's certificate, and have it say something: TLS 1.3 tells late that it refuses ours."""
    try:
        with (
            socket.create_connection((settings.host, settings.port), timeout=settings.connect_s) as plain,
            context.wrap_socket(plain, server_hostname=settings.host) as link,
        ):
            shown = x509.load_der_x509_certificate(link.getpeercert(binary_form=True) or b"")
            with contextlib.suppress(ConnectionError):  # if it has hung up, its last packet is still readable
                link.sendall(_OF_NO_VERSION)
            link.settimeout(_SILENT_S)
            link.recv(1)  # its refusal, or the end
    except TimeoutError:
        yield bad(
            name,
            f"{settings.host}:{settings.port} accepts a connection, but does not answer within {_SILENT_S:.0f} s.",
            "Check that it is an MQTT broker, and read its log.",
        )
        return
    except OSError as error:
        fault = explain(error, settings)
        yield bad(name, fault.message, fault.remedy or f"Read the {name}'s log.")
        return
    yield fine(name, f"{settings.host}:{settings.port} answers with TLS 1.3 and accepts our certificate.")
    yield certificate_dates(f"{name}'s certificate", "It", shown, now, _RENEW_THEIRS)
