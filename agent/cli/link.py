"""`doorward link`: the doorbell's link to its broker: a key that stays here, a signing request, and the certificate."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.frame import Group, Number, config_option, emit_json, json_option
from agent.platform import files

__all__ = ["link"]

_FOLDER = Path("/etc/doorward/tls")
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
    click.echo(f"{csr_path} is not secret.  On the machine with the broker's authorities, run:")
    click.echo(f"  doorward broker add-device {device} --csr device.csr")
    click.echo("Then, with the two files it names, run here:")
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
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    from agent.config import load, parse
    from agent.errors import ConfigurationError

    if load(config).broker is not None:
        raise ConfigurationError(f"{config} already has a [broker].", remedy="Change it in that file.")
    try:
        made = x509.load_pem_x509_certificate(certificate.read_bytes())
        x509.load_pem_x509_certificate(ca.read_bytes())
        key = serialization.load_pem_private_key((folder / "device.key").read_bytes(), None)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"These files cannot be used: {error}.", remedy="Use the files that 'doorward broker add-device' names."
        ) from error
    if made.public_key() != key.public_key():
        raise ConfigurationError(
            f"{certificate} is not for this doorbell's key.", remedy="Make a new request: doorward link request"
        )
    section = (
        f'\n[broker]\nhost = "{host}"\nport = {port}\nca = "{folder / "ca.pem"}"\n'
        f'certificate = "{folder / "device.pem"}"\nkey = "{folder / "device.key"}"\n'
    )
    text = config.read_text(encoding="utf-8-sig") + section
    parse(text, config)
    for name, source in (("ca.pem", ca), ("device.pem", certificate)):
        files.write(folder / name, source.read_bytes(), secret=True)
    files.write(config, text.encode(), like=config)
    click.echo(f"{config} names {host}:{port}.  Next:  sudo systemctl restart doorward.target doorward-uplink")
