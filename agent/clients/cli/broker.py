"""`doorward broker`: the certificates and the configuration of your own MQTT broker.

Run it on the broker's machine, with or without a doorbell there. It writes one folder
(`agent/clients/broker/broker_pki.py`). For managed and clustered brokers see config/mosquitto/README.md.
"""

from __future__ import annotations

import datetime
import string
from pathlib import Path

import click

from agent.cli.frame import Group, Number, emit_json, json_option

__all__ = ["broker"]

_DIRECTORY = Path("/etc/mosquitto/doorward")
_TEMPLATE = Path(__file__).parents[1] / "broker" / "mosquitto" / "doorward.conf.template"

_directory = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=_DIRECTORY,
    show_default=True,
    help="The broker's folder.",
)
_days = click.option(
    "--days", metavar="DAYS", type=Number(1, 3650), default=397, show_default=True, help="Days until it expires."
)


@click.group(cls=Group)
def broker() -> None:
    """Make the certificates and the configuration of your own broker.

    Keep the folder's authorities/*.key secret. A person who has them can pose as any client.
    """


@broker.command()
@_directory
@click.option(
    "--host",
    "hosts",
    metavar="HOST",
    multiple=True,
    required=True,
    help="A name or address that clients use; may be repeated.",
)
@click.option(
    "--user", metavar="USER", default="mosquitto", show_default=True, help="The system's user that runs mosquitto."
)
@click.option("--address", metavar="ADDRESS", default="0.0.0.0", show_default=True, help="Listen here.")  # noqa: S104 — for clients
@click.option(
    "--device-port", metavar="PORT", type=Number(1, 65_535), default=8883, show_default=True, help="For doorbells."
)
@click.option(
    "--requester-port", metavar="PORT", type=Number(1, 65_535), default=8884, show_default=True, help="For requesters."
)
def init(
    directory: Path, hosts: tuple[str, ...], user: str, address: str, device_port: int, requester_port: int
) -> None:
    """Make the authorities, the broker's certificate and its mosquitto configuration."""
    from agent.clients.broker.broker_pki import BrokerPki
    from agent.errors import ConfigurationError

    _refuse_odd_words(user=user, address=address, directory=str(directory))
    pki = BrokerPki.create(directory, _now(), hosts)
    configuration = pki.directory / "mosquitto.conf"
    text = string.Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        user=user,
        directory=pki.directory,
        address=address,
        device_port=device_port,
        requester_port=requester_port,
    )
    try:
        configuration.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{configuration} cannot be written: {error.strerror}.") from error
    configuration.chmod(0o600)
    click.echo(f"The broker's folder is {pki.directory}.  Next:")
    click.echo(f"  sudo chown -R {user}: {pki.directory}       lets mosquitto read it.  Move the authorities'")
    click.echo("                                             keys away first if others use this machine")
    click.echo(f"  mosquitto -c {configuration}")
    click.echo("  doorward broker add-device ID              for every doorbell (doorward init prints its ID)")
    click.echo("  doorward broker add-requester NAME         for every requester")


@broker.command("add-device")
@click.argument("device")
@click.option(
    "--csr",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The device's signing request: its key then stays on the device.",
)
@_directory
@_days
@json_option
def add_device(device: str, csr: Path | None, directory: Path, days: int, as_json: bool) -> None:
    """Sign a certificate for the doorbell DEVICE: its key id (16 hex digits), or its key (ed25519:…)."""
    from agent.clients.broker.broker_pki import BrokerPki

    request = csr.read_bytes() if csr else None
    files = BrokerPki(directory).add_device(_key_id(device), _now(), days, request=request)
    named = {"ca": files.authority, "certificate": files.certificate}
    _tell(named if csr else {**named, "key": files.key}, "the doorbell, into [broker] of its configuration", as_json)


@broker.command("add-requester")
@click.argument("requester")
@_directory
@_days
@json_option
def add_requester(requester: str, directory: Path, days: int, as_json: bool) -> None:
    """Sign a certificate for REQUESTER, its id in the trust bundle."""
    from agent.clients.broker.broker_pki import BrokerPki

    files = BrokerPki(directory).add_requester(requester, _now(), days)
    _tell({"ca": files.authority, "certificate": files.certificate, "key": files.key}, "the requester", as_json)


@broker.command()
@click.argument("name")
@_directory
def revoke(name: str, directory: Path) -> None:
    """Revoke a client's certificate.

    NAME is a doorbell's key id (or its key), or a requester's id. You may use the name again.
    """
    from agent.clients.broker.broker_pki import BrokerPki

    name = _key_id(name)
    role = BrokerPki(directory).revoke(name, _now())
    click.echo(f"{name} is revoked (list of {role.value}).  Now tell the broker:")
    click.echo("  sudo systemctl reload mosquitto     refuses its next connection")
    click.echo("  sudo systemctl restart mosquitto    also ends its present connection")


def _tell(files: dict[str, Path], whom: str, as_json: bool) -> None:
    if as_json:
        emit_json(dict(files))
        return
    click.echo(f"For {whom}:")
    for name, path in files.items():
        click.echo(f"  {name:12} {path}")


def _key_id(device: str) -> str:
    """Returns the id of a key as 'doorward init --json' prints it; any other name unchanged."""
    from agent.wire.identities import parse_public_key

    return parse_public_key(device).id if device.startswith("ed25519:") else device


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _refuse_odd_words(**words: str) -> None:
    """They become lines of mosquitto's configuration: a space or a line break there would be another line."""
    from agent.errors import ConfigurationError

    for name, word in words.items():
        if not word.isprintable() or any(mark in word for mark in " #"):
            raise ConfigurationError(f"--{name} {word!r} cannot stand in mosquitto's configuration.")
