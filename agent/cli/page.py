"""`doorward page`: the address of the owner's page, the code for a new browser, and the authority to install."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from agent.cli.frame import Group, config_option, emit_json, json_option
from agent.cli.language import in_words, say
from agent.config import load
from agent.ipc.control_operations import GetPageAuthority, MakePageCode
from agent.ipc.rpc import Request
from agent.platform import files

__all__ = ["page"]

_PATIENCE_S = 20.0
_MOST_BYTES = 64 << 10


@click.group(cls=Group)
def page() -> None:
    """Open the owner's page in a browser.

    It is served if the configuration has a [page] section and 'doorward run' is running.
    """


@page.command()
@config_option
@click.option("--qr/--no-qr", default=True, help="Also show address and fingerprint as a QR code.")
@json_option
def code(config: Path, qr: bool, as_json: bool) -> None:
    """Print how to trust this doorbell, and a code that signs in one browser, once, within 15 minutes.

    A new code replaces the old one.  Install the authority first, and compare its fingerprint, because a relay between
    you and the doorbell could offer another.  The QR code also holds the fingerprint, after the # of the address, which
    browsers never send.
    """
    answer, _ = _ask(config, MakePageCode())
    if as_json:
        emit_json(msgspec.to_builtins(answer))
        return
    if answer.trusted:
        say(f"1  Open {click.style(answer.url, bold=True)}")
        say("   If the browser warns about the connection, stop. Do not type a code there.\n")
        say(f"2  Code {click.style(answer.code, bold=True)}    good once, for {answer.life_s // 60} minutes\n")
        if qr:
            _show_qr(answer.url)
        return
    install = answer.install
    say("1  Make your phone or computer trust this doorbell, once.  On it, open\n")
    click.echo(f"        {click.style(install, bold=True)}\n")
    say("   install the authority, and compare its fingerprint (SHA-256):\n")
    click.echo(f"        {_in_two_lines(answer.fingerprint)}\n")
    say("   On a computer with SSH access to this one, skip the comparison:")
    click.echo("   ssh THIS-DOORBELL sudo doorward page authority - > doorward-authority.crt\n")
    say(f"2  Open {click.style(answer.url, bold=True)}")
    for url in answer.urls:
        click.echo(f"   {in_words('or')}   {url}")
    say("   If the browser warns about the connection, stop. Do not type a code there.\n")
    say(f"3  Code {click.style(answer.code, bold=True)}    good once, for {answer.life_s // 60} minutes\n")
    if qr:
        _show_qr(f"{install}#{answer.fingerprint.replace(' ', '')}")


def _show_qr(address: str) -> None:
    import segno

    segno.make(address, error="m").terminal(sys.stdout, compact=True)


@page.command()
@config_option
@click.argument("key", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@click.argument("chain", type=click.Path(dir_okay=False, exists=True, path_type=Path))
def certificate(config: Path, key: Path, chain: Path) -> None:
    """Give the page the certificate of your own domain: its private KEY, and the CHAIN with the certificate first.

    It belongs to page.domain in the configuration, and comes from a public authority, for example by ACME.  The page
    takes it within seconds, without a restart.  Run it again after each renewal: docs/install.md has the steps.
    """
    import datetime

    from agent.custodian.page.domain_certificate import FILE, checked_pem
    from agent.custodian.state_folder import StateFolder
    from agent.errors import ConfigurationError
    from agent.platform.privileges import PrivilegedFolder

    configuration = load(config)
    domain = configuration.page.domain if configuration.page is not None else ""
    if not domain:
        raise ConfigurationError(
            f"{config} names no domain for the page.", remedy="Add domain to [page], then run:  sudo doorward apply"
        )
    data = checked_pem(
        domain, files.read(key, _MOST_BYTES), files.read(chain, _MOST_BYTES), datetime.datetime.now(datetime.UTC)
    )
    state = StateFolder(configuration.device.state_dir)
    if not state.page.is_dir():
        raise ConfigurationError(f"The page of {domain} has not run yet.", remedy="Start the doorbell first.")
    # The custodian owns this folder. Root must not follow a link that a taken one has put there.
    with PrivilegedFolder(state.root) as own, own.inside(state.page.name) as folder:
        folder.put(FILE, data)
    say(f"The page shows the certificate of {domain} within seconds.")


@page.command()
@config_option
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path), default=Path("doorward-authority.crt"))
@click.option(
    "--from", "address", metavar="URL", help="The address that 'doorward page code' prints first on the other machine."
)
@click.option(
    "--fingerprint", metavar="SHA256", help="With --from: the fingerprint that 'doorward page code' prints there."
)
def authority(config: Path, out: Path, address: str | None, fingerprint: str | None) -> None:
    """Write the page's authority to OUT, or with - to the terminal, to install it on a phone or computer.

    It can vouch only for this doorbell's name and for local addresses.  With --from and --fingerprint the command
    fetches it over the network, compares the fingerprint, and refuses any other.
    """
    if (address is None) != (fingerprint is None):
        raise click.UsageError("Use --from and --fingerprint together.")
    if address is not None and fingerprint is not None:
        certificate = _compared(_fetched(address), fingerprint)
    else:
        _, certificate = _ask(config, GetPageAuthority())
    if str(out) == "-":
        sys.stdout.buffer.write(certificate)
    else:
        files.write(out, certificate)
    click.echo(f"{out}: SHA-256 {_fingerprint(certificate)}", err=str(out) == "-")


def _fetched(address: str) -> bytes:
    """Fetches the authority from a page. The result is untrusted."""
    import http.client
    from urllib.parse import urlsplit

    from agent.errors import NetworkError

    parsed = urlsplit(address)
    try:
        if parsed.scheme != "http" or not parsed.hostname:
            raise click.UsageError("--from: an address like http://192.168.1.20:8443/install is missing.")
        connection = http.client.HTTPConnection(parsed.hostname, parsed.port or 80, timeout=_PATIENCE_S)
        try:
            # Over plain HTTP: TLS to the page needs the authority that is fetched here. The fingerprint vouches for it.
            connection.request("GET", "/authority.crt")
            answer = connection.getresponse()
            return answer.read(_MOST_BYTES) if answer.status == 200 else b""
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NetworkError(
            f"{address} does not answer: {error}.", remedy="Connect this machine to the doorbell's network."
        ) from error


def _compared(certificate: bytes, fingerprint: str) -> bytes:
    from agent.errors import OpenError

    if "".join(fingerprint.split()).upper().replace(":", "") != _fingerprint(certificate).replace(" ", ""):
        raise OpenError(
            "This is not the doorbell's authority: its fingerprint differs.",
            remedy="Do not install it.  Compare it with 'doorward page code' there: a relay may be in between.",
        )
    return certificate


AnswerT = TypeVar("AnswerT")


def _fingerprint(certificate: bytes) -> str:
    import hashlib

    return hashlib.sha256(certificate).digest().hex(" ").upper()


def _ask(config: Path, request: Request[AnswerT]) -> tuple[AnswerT, bytes]:
    from agent.custodian.state_folder import StateFolder
    from agent.errors import ConfigurationError
    from agent.ipc.control_client import DeviceLink

    configuration = load(config)
    if configuration.page is None:
        raise ConfigurationError(f"{config} has no [page] section.", remedy="Add it, and start 'doorward run' again.")
    with DeviceLink(StateFolder(configuration.device.state_dir).control) as link:
        return link.fetch(request)


def _in_two_lines(fingerprint: str) -> str:
    half = len(fingerprint) // 2
    return f"{fingerprint[:half].strip()}\n        {fingerprint[half:].strip()}"
