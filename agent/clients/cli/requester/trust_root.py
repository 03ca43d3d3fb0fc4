"""`doorward requester trust-root`: a root with several keys. Its people sign on their machines; one key is online."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from agent.cli.frame import Fraction, Group, Number, emit_json, json_option
from agent.clients.cli.requester.options import broker_address, now_s
from agent.clients.requester.broker_files import broker_files, password_hosts, remove_password
from agent.clients.requester.keys import FileSigner, load_key
from agent.clients.requester.package_keeper import KeptPackage, RootKeeping
from agent.clients.requester.package_publisher import (
    is_published,
    publish_package,
    require_newest,
    retained_directory,
    retained_package,
)
from agent.clients.requester.root_folder import RootFolder
from agent.errors import ConfigurationError, DoorwardError, FormatError
from agent.mqtt import WATCHFUL_KEEPALIVE_S, BusSettings, MqttBus
from agent.platform import files
from agent.platform.certificates import common_name, require_for_key, signing_request
from agent.platform.stop_signals import StopSignals
from agent.wire.broker_directory import BrokerAddress
from agent.wire.trust_package import MAX_ROOT_FILES, RootFile

__all__ = ["trust_root"]

_FILE: Final = click.Path(path_type=Path, exists=True, dir_okay=False)
_DAY_S: Final = 86_400
_FEW_SETS: Final = 3
"""For this many sets of keys or fewer, it is said how many still fit."""
_DIRECTORY_PACKET_BYTES: Final = 128 << 10
"""A chunk of a broker directory with its frame."""
_Command = TypeVar("_Command", bound=Callable[..., Any])


def _folder(command: _Command) -> _Command:
    return click.option(
        "--folder",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("trust-root"),
        show_default=True,
        help="The root's folder.  Nothing in it is secret, apart from tls/key.pem.",
    )(command)


def _keys(command: _Command) -> _Command:
    options = (
        click.option("--key", "keys", metavar="KEY", multiple=True, required=True, help="A signer's public key."),
        click.option("--threshold", type=Number(1, 8), default=2, show_default=True, help="How many of them sign."),
        click.option(
            "--timestamp-key", "timestamp_keys", metavar="KEY", multiple=True, required=True,
            help="The public key that is online and signs timestamps only.",
        ),
        click.option("--days", type=Number(1, 3650), default=730, show_default=True, help="Days until it expires."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.group(cls=Group)
def trust_root() -> None:
    """Run a root with several keys, and publish its news.

    \b
    found      once: list the keys of your people (keygen --root makes one each)
    list       write a bundle from the list of requesters you vouch for
    sign       each signer, on a machine of theirs: sign a root file or a bundle
    stamp      join the signatures, and sign a timestamp with the online key
    publish    put the package on a broker; run stamp and publish every day
    keep       or stay connected, and keep the newest package on every broker
    rotate     change keys or threshold
    fetch      after a restored backup: take back what a broker has
    passwords  show for which brokers a password is stored, and remove one
    """


@trust_root.command()
@_folder
@_keys
@click.option(
    "--name-key", type=_FILE, help="The key of a root that owners know already.  [made, used once, forgotten]"
)
@json_option
def found(
    folder: Path, keys: tuple[str, ...], threshold: int, timestamp_keys: tuple[str, ...], days: int,
    name_key: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Found a root.  Owners choose it by the key that this prints.

    That key signs the first root file here and is forgotten.  So it cannot be stolen.
    """
    root = RootFolder(folder)
    signer = FileSigner(load_key(name_key)) if name_key is not None else None
    made = root.found(_root_file(keys, threshold, timestamp_keys, days), signer)
    if as_json:
        emit_json({"root": root.name_key.text, "root_id": root.name_key.id, "to_sign": made})
        return
    click.echo(f"Owners who trust this root add:  {root.name_key.text}\nIts id is {root.name_key.id}.")
    _say_who_signs(made, threshold)


@trust_root.command()
@_folder
@_keys
@json_option
def rotate(
    folder: Path, keys: tuple[str, ...], threshold: int, timestamp_keys: tuple[str, ...], days: int, as_json: bool
) -> None:
    """Write the next root file, with all keys that are valid from then on.

    The threshold of the old keys and the threshold of the new ones sign it.  Every set of keys stays in the package, so
    the room on a broker runs out: this says so before anyone signs.
    """
    root = RootFolder(folder)
    sets_left = root.root_files_with_room()
    made = root.rotate(_root_file(keys, threshold, timestamp_keys, days))
    if as_json:
        emit_json({"to_sign": made, "sets_left": sets_left})
        return
    _say_room(sets_left)
    _say_who_signs(made, threshold)
    click.echo("So must the threshold of the keys before.")


@trust_root.command("list")
@click.argument("source", metavar="LIST", type=_FILE)
@_folder
@json_option
def list_(source: Path, folder: Path, as_json: bool) -> None:
    """Write the bundle of LIST, the file that 'doorward requester bundle --help' shows."""
    root = RootFolder(folder)
    made = root.propose(source, now_s())
    brokers = root.directory_path(int(made.stem.removeprefix("bundle-")))
    has_brokers = files.is_file(brokers)
    if as_json:
        emit_json({"to_sign": made, "brokers": brokers if has_brokers else None})
        return
    if has_brokers:
        click.echo(f"{brokers} lists the brokers: give it to requesters together with the signed bundle.")
    click.echo(f"{made} waits for signatures:  doorward requester trust-root sign {made} --root-key FILE")


@trust_root.command()
@click.argument("payload", metavar="FILE", type=_FILE)
@click.option("--root-key", type=_FILE, required=True, help="Your private key.")
@json_option
def sign(payload: Path, root_key: Path, as_json: bool) -> None:
    """Sign FILE, a root-N.json or bundle-N.json.  The signature lands beside it: return it to the root's folder."""
    made = RootFolder(payload.parent).sign(payload, FileSigner(load_key(root_key)))
    if as_json:
        emit_json({"signature": made})
        return
    click.echo(f"Your signature is in {made}.")


@trust_root.command()
@_folder
@click.option("--timestamp-key", type=_FILE, required=True, help="The private key that is online.")
@click.option("--days", type=Number(1, 31), default=7, show_default=True, help="Days until owners are warned.")
@json_option
def stamp(folder: Path, timestamp_key: Path, days: int, as_json: bool) -> None:
    """Join the signatures of the newest bundle and sign a timestamp for it."""
    root = RootFolder(folder)
    package = root.stamp(FileSigner(load_key(timestamp_key)), now_s(), days)
    if as_json:
        emit_json({"package": folder / "package.json", "size_bytes": len(package)})
        return
    click.echo(f"{folder / 'package.json'} has {len(package)} bytes.  Publish it, or give it to owners as a file.")


@trust_root.command()
@_folder
@json_option
def csr(folder: Path, as_json: bool) -> None:
    """Make the root's key for a broker (once), and a signing request for the broker's side."""
    root, tls = RootFolder(folder).name_key, folder / "tls"
    files.make_folder(tls)
    files.write(tls / "request.csr", signing_request(tls / "key.pem", f"{root.id}.root"))
    if as_json:
        emit_json({"name": f"{root.id}.root", "csr": tls / "request.csr", "key": tls / "key.pem"})
        return
    click.echo(f"{tls / 'request.csr'} is not secret.  On the machine with the broker's authorities, run:")
    click.echo(f"  doorward broker add-root {root.id} --csr request.csr")
    click.echo(f"Then put the two files it names here: {tls}/authority.pem (the ca) and {tls}/certificate.pem")


def _broker(command: _Command) -> _Command:
    options = (
        click.option(
            "--broker", envvar="DOORWARD_BROKER", metavar="HOST:PORT", help="The broker's requester listener."
        ),
        click.option(
            "--timeout", metavar="SECONDS", type=Fraction(1, 600), default=30.0, show_default=True, help="Patience."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@trust_root.command()
@_folder
@_broker
@click.option(
    "--missing", is_flag=True, help="Only if the broker lacks it.  Connected doorbells read what is published."
)
@click.option("--replace", is_flag=True, help="Also in place of newer news of the root.  Only if a thief signed that.")
@json_option
def publish(folder: Path, broker: str | None, timeout: float, missing: bool, replace: bool, as_json: bool) -> None:
    """Publish the package.  Doorbells that are connected take it within seconds.

    A broker that is killed may lose what it took in its last minutes.  'keep' stays connected and puts it back at once.
    Without 'keep', let a timer run this with --missing every ten minutes.  A broker that has newer news of the root
    keeps it: then this folder came from a backup.
    """
    root = RootFolder(folder)
    address = BrokerAddress(*broker_address(broker))
    package, name = root.package_for(address), root.name_key
    bus = MqttBus(_connection(root, address))
    try:
        bus.start()
        is_there = missing and is_published(bus, name.id, package, timeout)
        if not is_there and not replace:
            require_newest(name, package, retained_package(bus, name.id, timeout))
        chunks = 0 if is_there else publish_package(bus, name.id, package, timeout, root.directory())
    finally:
        bus.stop()
    if as_json:
        emit_json({"root_id": name.id, "chunks": chunks, "size_bytes": len(package)})
        return
    if is_there:
        click.echo("The broker has the package already.")
        return
    click.echo(f"Published: {len(package)} bytes in {chunks} of the root's slots.")


@trust_root.command()
@_folder
@_broker
@click.option(
    "--replace", is_flag=True, help="Also in place of another list or set of keys with the same number, which stays."
)
@json_option
def fetch(folder: Path, broker: str | None, timeout: float, replace: bool, as_json: bool) -> None:
    """Take back the newest list and keys that a broker has, after a restored backup.

    Everything is checked below the root's name key.  Then stamp, or sign the next list.  A stamp that a timer made
    meanwhile does no harm.
    """
    root = RootFolder(folder)
    name = root.name_key
    settings = _connection(root, BrokerAddress(*broker_address(broker)))
    bus = MqttBus(dataclasses.replace(settings, inbound_packet_bytes=_DIRECTORY_PACKET_BYTES))
    try:
        bus.start()
        package = retained_package(bus, name.id, timeout)
        if package is None:
            raise ConfigurationError("This broker has no package of the root.", remedy="Ask another broker.")
        taken = root.take_back(package, retained_directory(bus, name.id, timeout), replaces=replace)
    finally:
        bus.stop()
    version = root.newest_bundle()
    if as_json:
        emit_json({"root_id": name.id, "version": version, "sections_lacking": taken.lacking, "kept": taken.kept})
        return
    click.echo(f"{folder} has list {version} now.  The next list has version {version + 1}.")
    for each in taken.kept:
        click.echo(
            f"Your own {each.name.partition('.ours')[0]} stays as {each}.  Sign the next list with what both revoke."
        )
    if taken.lacking:
        click.echo(f"{taken.lacking} of its sections are of other cells.  Run this with the other brokers, too.")


@trust_root.command()
@_folder
@click.option(
    "--broker",
    "brokers",
    metavar="HOST:PORT",
    multiple=True,
    help="A broker's requester listener, once for each broker.  [the brokers of the root's list]",
)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each look at a broker.")
def keep(folder: Path, brokers: tuple[str, ...], as_json: bool) -> None:
    """Keep the newest package on brokers until you stop it (Ctrl-C).

    It stays connected.  So it publishes each new stamp at once, sees when a broker comes back, and puts there what the
    broker lost.  Do not run 'publish' beside it: both have the root's name, and the broker ends one connection.
    """
    root = RootFolder(folder)
    addresses = tuple(BrokerAddress(*broker_address(each)) for each in brokers)

    def open_bus(address: BrokerAddress, told: Callable[[], None]) -> MqttBus:
        settings = _connection(root, address)
        bus = MqttBus(dataclasses.replace(settings, inbound_packet_bytes=_DIRECTORY_PACKET_BYTES), told)
        try:
            bus.start()
        except DoorwardError:
            bus.stop()
            raise
        return bus

    keeping = RootKeeping(root, addresses, open_bus, _say_line if as_json else _say_kept)
    with StopSignals(keeping.stop, [signal.SIGTERM]), contextlib.suppress(KeyboardInterrupt):
        keeping.run()


@trust_root.command()
@_folder
@click.option("--remove", metavar="HOST", help="Remove the password for this broker.")
@json_option
def passwords(folder: Path, remove: str | None, as_json: bool) -> None:
    """Show for which brokers a password is stored here, also of those that left the root's list."""
    root, listed = RootFolder(folder), set[str]()
    stored = password_hosts(folder)
    if remove is not None and remove not in stored:
        raise ConfigurationError(
            f"No password is stored for {remove}.", remedy="See: doorward requester trust-root passwords"
        )
    if remove is not None:
        remove_password(folder, remove)
        stored = password_hosts(folder)
    with contextlib.suppress(ConfigurationError):  # no list is stamped yet
        listed = {each.host for each in root.brokers()}
    if as_json:
        emit_json({"passwords": [{"broker": host, "listed": host in listed} for host in stored], "removed": remove})
        return
    if remove is not None:
        click.echo(
            f"The password for {remove} is removed.  Change it at the service, too, if others may have heard it."
        )
    for host in stored:
        click.echo(f"{host}  {'in' if host in listed else 'not in'} the root's list")
    if not stored:
        click.echo("No password is stored.")


def _say_kept(kept: KeptPackage) -> None:
    place = f"{kept.broker}: " if kept.broker is not None else ""
    if kept.fault is not None:
        click.echo(f"{place}{kept.fault}", err=True)
    elif kept.chunks:
        click.echo(f"{place}published, {kept.chunks} of the root's slots.")
    else:
        click.echo(f"{place}the package is there.")


def _say_line(kept: KeptPackage) -> None:
    told = {"broker": str(kept.broker or ""), "sha256": kept.sha256, "chunks": kept.chunks}
    click.echo(json.dumps(told | {"fault": str(kept.fault) if kept.fault is not None else ""}))


def _connection(root: RootFolder, address: BrokerAddress) -> BusSettings:
    """Returns how the root connects to a broker. Raises `ConfigurationError` if a file is missing or not the root's."""
    name, found = f"{root.name_key.id}.root", broker_files(root.folder, address.host)
    found.require("Make it: doorward requester trust-root csr.")
    certificate, key = found.pair
    if certificate is not None and key is not None:
        require_for_key(certificate, key)
        if common_name(certificate) != name:
            raise ConfigurationError(f"{certificate} is not for {name}.", remedy="Use the root's certificate.")
    return BusSettings(
        host=address.host, port=address.port, name=name, authority=found.authority, certificate=certificate, key=key,
        password_file=found.password, keepalive_s=WATCHFUL_KEEPALIVE_S,
    )  # fmt: skip


def _root_file(keys: tuple[str, ...], threshold: int, timestamp_keys: tuple[str, ...], days: int) -> RootFile:
    """Returns a root file. `RootFolder` sets its root and version."""
    issued_s = now_s()
    try:
        return RootFile(
            v=1, root="0" * 16, version=1, issued_s=issued_s, expires_s=issued_s + days * _DAY_S, keys=keys,
            threshold=threshold, timestamp_keys=timestamp_keys,
        )  # fmt: skip
    except FormatError as error:
        raise ConfigurationError(error.message, remedy=error.remedy or "Give the keys of keygen --root.") from error


def _say_room(sets_left: int) -> None:
    """Says how many more sets of keys the root can have, this one included."""
    if sets_left == 0:
        click.echo(
            "WARNING: with this set of keys, no broker has room for the package, even with all slots of the broker.  "
            "The root could then publish nothing, no revocation either.  Sign a shorter list first, or found a new "
            "root.",
            err=True,
        )
    elif sets_left <= _FEW_SETS:
        click.echo(
            f"The root can have {sets_left} more sets of keys, with this one.  A package has at most {MAX_ROOT_FILES}, "
            "and a broker has room for those beside this list, if it gives the root all its slots.",
            err=True,
        )


def _say_who_signs(made: Path, threshold: int) -> None:
    click.echo(f"{made} waits for {threshold} signatures:")
    click.echo(f"  doorward requester trust-root sign {made} --root-key FILE")
