"""`doorward link`: the doorbell's link to its broker: a key that stays here, a signing request, and the certificate."""

from __future__ import annotations

import subprocess
from pathlib import Path

import click

from agent.cli.frame import BOOT_FOLDERS, Group, Number, config_option, emit_json, json_option
from agent.cli.language import in_words, say
from agent.platform import files

__all__ = ["link"]

_FOLDER = Path("/etc/doorward/tls")
_ON_CARD = tuple(folder / "doorward.enrol" for folder in BOOT_FOLDERS)
_SERVICES = ("doorward.target", "doorward-custodian.service", "doorward-uplink.service")
_folder = click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=_FOLDER,
    show_default=True,
    help="The folder of the key and the certificate.",
)


@click.group(cls=Group)
def link() -> None:
    """Connect this doorbell to a broker.

    Its key for TLS is made here and stays here: the broker's side gets a signing request and gives a certificate.
    """


@link.command()
@config_option
@_folder
@json_option
def request(config: Path, folder: Path, as_json: bool) -> None:
    """Make the key (once) and the signing request for the broker."""
    from agent.config import load
    from agent.custodian.state_folder import StateFolder
    from agent.platform.certificates import signing_request
    from agent.wire.identities import public_key_of

    device = public_key_of(StateFolder(load(config).device.state_dir).device_key()).id
    csr_path = folder / "device.csr"
    files.write(csr_path, signing_request(folder / "device.key", device), secret=True)
    if as_json:
        emit_json({"device": device, "csr": csr_path})
        return
    say(f"{csr_path} is not secret.  On the machine with the broker's authorities, run:")
    click.echo(f"  doorward broker add-device {device} --csr device.csr")
    say("Then, with the two files it names, run here:")
    click.echo("  sudo doorward link accept --host BROKER --ca broker.pem --certificate device.pem")


@link.command()
@config_option
@_folder
@click.option("--host", metavar="HOST", required=True, help="The broker's name, as in its certificate.")
@click.option(
    "--port", metavar="PORT", type=Number(1, 65_535), default=8883, show_default=True, help="The broker's port."
)
@click.option("--ca", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True,
              help="The broker's authority: broker.pem.")  # fmt: skip
@click.option("--certificate", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True,
              help="The certificate that 'doorward broker add-device' signed: device.pem.")  # fmt: skip
def accept(config: Path, folder: Path, host: str, port: int, ca: Path, certificate: Path) -> None:
    """Take the broker's authority and this doorbell's certificate, and add [broker] to the configuration."""
    from agent.cli.broker_link import BrokerCredentials, put_broker
    from agent.config import load
    from agent.errors import ConfigurationError

    if load(config).broker is not None:
        raise ConfigurationError(f"{config} already has a [broker].", remedy="Change it in that file.")
    put_broker(config, folder, BrokerCredentials(host, port, ca.read_bytes(), certificate.read_bytes()))
    say(f"{config} names {host}:{port}.  Next:  sudo systemctl restart doorward.target doorward-uplink")


@link.command()
@config_option
@_folder
@click.argument("ticket", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--restart", is_flag=True, help="Restart the services afterwards.")
def enrol(config: Path, folder: Path, ticket: Path | None, restart: bool) -> None:
    """Get this doorbell's certificate for the one-time token in TICKET, and add [broker] to the configuration.

    TICKET is the file that 'doorward broker add-tokens' made. Without it, use doorward.enrol on the boot partition. The
    key is made here and stays here. If this is interrupted, run it again: the token works for this doorbell only.
    """
    from agent.cli.broker_link import enrol_doorbell
    from agent.config import load

    source = ticket or next((path for path in _ON_CARD if path.is_file()), None)
    if source is None:
        say("There is no ticket; nothing is changed.")
        return
    device = enrol_doorbell(config, folder, source)
    _remove_ticket(source)  # last: a power cut before it repeats the exchange, to the same end
    if device is None:
        say("This doorbell has a certificate for its broker already; nothing is changed.")
        return
    broker = load(config).broker
    say(f"This doorbell, {device}, has its certificate for {broker.host if broker else in_words('its broker')}.")
    if restart:
        subprocess.run(["/usr/bin/systemctl", "--no-block", "restart", *_SERVICES], check=False)  # noqa: S603 (fixed words)
    else:
        say("Next:  sudo systemctl restart doorward.target doorward-uplink")


def _remove_ticket(source: Path) -> None:
    """The token in it is spent, and of no use to others. A boot partition may be read-only."""
    try:
        source.unlink()
    except OSError as error:
        say(f"{source} cannot be removed ({error.strerror}), but its token is spent.", err=True)
