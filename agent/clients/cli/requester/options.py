"""Options that several commands of `doorward requester` share, and the broker connection that they describe."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from agent.cli.frame import Fraction, Number
from agent.clients.requester.broker_files import BrokerFiles, broker_files
from agent.clients.requester.cell_brokers import CellBrokers
from agent.clients.requester.identity import Requester
from agent.clients.requester.request_builder import NO_ONE
from agent.clients.requester.roots import KnownRoots
from agent.clients.requester.shared_bus import RequesterBus
from agent.errors import ConfigurationError, FormatError
from agent.mqtt import WATCHFUL_KEEPALIVE_S, BusSettings, MqttBus
from agent.platform import files
from agent.platform.certificates import common_name
from agent.wire.fields import OnwardKind
from agent.wire.limits import HARD
from agent.wire.topics import requester_of

__all__ = [
    "broker_address",
    "broker_options",
    "client_name",
    "connected",
    "folder_option",
    "now_s",
    "promise_options",
    "timeout_option",
]

_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f:.]+")
_INBOUND_PACKET_BYTES: Final = 160 << 10
"""Largest packet from the broker: a chunk of 128 KiB, its topic and its properties."""

_INBOUND_BYTES: Final = 32 << 20
"""Limit on chunks that wait to be stored.  More than the 128 that the broker may have outstanding to us."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


def folder_option(command: _Command) -> _Command:
    return click.option(
        "--folder",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="DOORWARD_REQUESTER",
        default=Path("requester"),
        show_default=True,
        show_envvar=True,
        help="The requester's folder.",
    )(command)


def timeout_option(command: _Command) -> _Command:
    return click.option(
        "--timeout",
        metavar="SECONDS",
        type=Fraction(1, 600),
        default=30.0,
        show_default=True,
        help="Seconds to wait for the broker.",
    )(command)


def promise_options(command: _Command) -> _Command:
    """Adds the options for what a requester promises to owners, and for the language of its words."""
    kinds = ", ".join(kind.value for kind in OnwardKind)
    options = (
        click.option(
            "--retention-days",
            metavar="DAYS",
            type=Number(1, HARD.retention_max_days),
            help="Days after which you delete what arrives.  Owners read it before they share.",
        ),
        click.option(
            "--onward",
            metavar="KINDS",
            help=f"To whom law or policy may make you pass it on: {NO_ONE}, or some of {kinds}.",
        ),
        click.option("--onward-basis", metavar="WORDS", help="That law or policy by name, at most 120 characters."),
        click.option("--language", metavar="TAG", help="Language of your words: en, nl-BE, …"),
    )
    for option in reversed(options):
        command = option(command)
    return command


def broker_options(command: _Command) -> _Command:
    """Adds the options for the broker's address and our certificate, one argument each."""
    file = click.Path(path_type=Path, dir_okay=False)
    options = (
        click.option(
            "--broker",
            envvar="DOORWARD_BROKER",
            metavar="HOST:PORT",
            help="The broker's requester listener.  [the brokers that your root lists for your regions]",
        ),
        click.option(
            "--authority", type=file, help="Certificate of the broker's authority.  [FOLDER/tls/authority.pem]"
        ),
        click.option("--certificate", type=file, help="Our certificate.  [FOLDER/tls/certificate.pem]"),
        click.option("--tls-key", type=file, help="Its private key.  [FOLDER/tls/key.pem]"),
        click.option(
            "--password-file",
            type=file,
            help="A password or token, for a broker that wants one.  [FOLDER/tls/HOST/broker.password, if it is there]",
        ),
        click.option(
            "--user",
            metavar="NAME",
            help="Our name there, if only a password signs us in: our id, or a worker's.  [our id]",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def broker_address(broker: str | None) -> tuple[str, int]:
    """Returns host and port. Raises `ConfigurationError`."""
    host, _, port = (broker or "").rpartition(":")
    if not _HOST.fullmatch(host) or not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
        said = f"'{broker}' is not a broker's address." if broker else "No broker is named."
        raise ConfigurationError(
            said,
            remedy="Give --broker HOST:PORT, set DOORWARD_BROKER, or import your root's list of brokers: "
            "doorward requester root KEY BUNDLE --brokers FILE",
        )
    return host.strip("[]"), int(port)


def _settings(
    who: Requester,
    address: tuple[str, int],
    authority: Path | None,
    certificate: Path | None,
    tls_key: Path | None,
    password_file: Path | None,
    user: str | None,
) -> BusSettings:
    host, port = address
    there = broker_files(who.folder, host)
    found = BrokerFiles(
        authority or there.authority,
        certificate or there.certificate,
        tls_key or there.key,
        password_file or there.password,
    )
    if found.is_by_password and certificate is None:
        name = _own_name(who, user or who.id, "The user name")
    else:
        name = client_name(who, found.certificate)
        _require_user(user, name, found)
    shown, key = found.pair if certificate is None else (found.certificate, found.key)
    return BusSettings(
        host=host,
        port=port,
        name=name,
        authority=found.authority,
        certificate=shown,
        key=key,
        password_file=found.password,
        inbound_packet_bytes=_INBOUND_PACKET_BYTES,
        inbound_bytes=_INBOUND_BYTES,
        inbound_beat_s=0.0,
        keepalive_s=WATCHFUL_KEEPALIVE_S,
    )


def _require_user(user: str | None, name: str, found: BrokerFiles) -> None:
    """Raises `ConfigurationError` if --user wants a name that our certificate overrules."""
    if user in (None, name):
        return
    alone = f" To sign in with the password alone, take {found.certificate} away." if found.password is not None else ""
    raise ConfigurationError(
        f"--user is {user!r}, and the certificate {found.certificate} (--certificate) signs in as {name!r}.",
        remedy=f"Leave --user out, or give the certificate for {user!r} with --certificate.{alone}",
    )


def client_name(who: Requester, certificate: Path) -> str:
    """Returns the name of our certificate: our id, or the name of one of our workers. It is the MQTT client id, too."""
    if not files.is_file(certificate):
        raise ConfigurationError(
            f"There is no certificate {certificate}.",
            remedy="Make a signing request for the broker's side: doorward requester csr.  "
            "For a broker with passwords write it into tls/HOST/broker.password.",
        )
    return _own_name(who, common_name(certificate), f"The certificate {certificate}")


def _own_name(who: Requester, name: str, of: str) -> str:
    """Returns the name of a connection. Raises `ConfigurationError` if it is neither our id nor that of a worker."""
    try:
        requester = requester_of(name)
    except FormatError:
        requester = ""
    if requester != who.id:
        raise ConfigurationError(
            f"{of} is for {name!r}, and not for {who.id} or a worker of it.",
            remedy="Use the certificate or the name that the broker's side gave to this requester.",
        )
    return name


@contextlib.contextmanager
def connected(who: Requester, broker: dict[str, Any]) -> Iterator[RequesterBus]:
    """Connects to the broker that the options name, or else to those that the root of `who` lists for its regions."""
    files_of_tls = {name: path for name, path in broker.items() if name != "broker"}
    if broker["password_file"] is not None and not broker["broker"]:
        raise ConfigurationError(
            "A password is for one broker.",
            remedy="Give --broker HOST:PORT, or write it into tls/HOST/broker.password.",
        )
    listed = None if broker["broker"] else KnownRoots(who).own_brokers(now_s())
    bus: RequesterBus
    if listed is None:
        bus = MqttBus(_settings(who, broker_address(broker["broker"]), **files_of_tls))
    else:
        bus = CellBrokers(*listed, lambda at, told: MqttBus(_settings(who, (at.host, at.port), **files_of_tls), told))
    try:
        bus.start()
        yield bus
    finally:
        bus.stop()


def now_s() -> int:
    return int(time.time())
