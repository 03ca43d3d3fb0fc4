"""`doorward requester csr` and `accept`: the key for the broker is made here and stays here."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.frame import emit_json, json_option
from agent.clients.cli.requester.options import client_name, folder_option
from agent.clients.requester.identity import Requester
from agent.errors import ConfigurationError, FormatError
from agent.platform import files
from agent.platform.certificates import require_for_key, signing_request
from agent.wire.topics import requester_of

__all__ = ["accept", "csr"]

_LIMIT_BYTES = 64 * 1024
_tls_option = click.option(
    "--tls",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the key and the certificate.  [FOLDER/tls]",
)


@click.command()
@folder_option
@_tls_option
@click.option("--worker", metavar="NAME", help="Ask for a worker: desk-2 becomes rijnstad-police.desk-2.")
@json_option
def csr(folder: Path, tls: Path | None, worker: str | None, as_json: bool) -> None:
    """Make our key for the broker (once), and a signing request for the broker's side.

    Each person or machine that connects needs its own certificate. Two connections with one certificate end each other.
    For a second one give it a name with --worker, and another --tls folder on this machine.
    """
    who, tls = Requester.open(folder), tls or folder / "tls"
    name = who.id if worker is None else f"{who.id}.{worker}"
    try:
        requester_of(name)
    except FormatError as error:
        raise ConfigurationError(error.message, remedy=error.remedy) from error
    files.make_folder(tls)
    request = tls / "request.csr"
    files.write(request, signing_request(tls / "key.pem", name))
    if as_json:
        emit_json({"name": name, "csr": request, "key": tls / "key.pem"})
        return
    where = f" --tls {tls}" if tls != folder / "tls" else ""
    click.echo(f"{request} is not secret.  On the machine with the broker's authorities, run:")
    click.echo(f"  doorward broker add-requester {name} --csr request.csr")
    click.echo("Then, with the two files it names, run here:")
    click.echo(f"  doorward requester accept{where} --ca broker.pem --certificate {name}.pem")


@click.command()
@folder_option
@_tls_option
@click.option("--ca", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True,
              help="The broker's authority: broker.pem.")  # fmt: skip
@click.option("--certificate", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True,
              help="The certificate that 'doorward broker add-requester' signed.")  # fmt: skip
@json_option
def accept(folder: Path, tls: Path | None, ca: Path, certificate: Path, as_json: bool) -> None:
    """Take the broker's authority and our certificate."""
    who, tls = Requester.open(folder), tls or folder / "tls"
    name = client_name(who, certificate)
    if not files.is_file(tls / "key.pem"):
        raise ConfigurationError(f"There is no key in {tls}.", remedy="Make it first: doorward requester csr")
    require_for_key(certificate, tls / "key.pem")
    for target, source in (("authority.pem", ca), ("certificate.pem", certificate)):
        files.write(tls / target, files.read(source, _LIMIT_BYTES))
    if as_json:
        emit_json({"name": name, "folder": tls})
        return
    click.echo(f"This machine connects as {name}.  Try it:  doorward requester receive --broker HOST:8884")
