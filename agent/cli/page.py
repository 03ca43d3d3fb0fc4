"""`doorward page`: where the owner's page is, the code that lets a browser in, and the authority to install."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from agent import files
from agent.cli.frame import Group, config_option, emit_json, json_option
from agent.config import load

__all__ = ["page"]


@click.group(cls=Group)
def page() -> None:
    """The owner's page in the browser: how to get there.

    It is served when the configuration has a [page] section and 'doorward run' is running.
    """


@page.command()
@config_option
@click.option("--qr/--no-qr", default=True, help="Show address and fingerprint as a QR code too.")
@json_option
def code(config: Path, qr: bool, as_json: bool) -> None:
    """Print a code that lets one browser in, once, for a quarter of an hour.

    The code before it no longer counts.  Compare the fingerprint when your phone asks whether to trust the doorbell.
    The QR code holds it too, behind the # of the address, which is sent to nobody.
    """
    answer, _ = _ask(config, "page_code")
    if as_json:
        emit_json(answer)
        return
    click.echo(f"Open    {click.style(answer['url'], bold=True)}")
    for url in answer["urls"]:
        click.echo(f"or      {url}")
    click.echo(f"\nCode    {click.style(answer['code'], bold=True)}    good once, for {answer['life_s'] // 60} minutes")
    click.echo("\nYour browser does not know this doorbell yet.  The page tells how to change that; the fingerprint of")
    click.echo(f"its authority (SHA-256) is\n\n        {_in_two_lines(answer['fingerprint'])}\n")
    if qr:
        import segno

        address = f"{answer['url']}install#{answer['fingerprint'].replace(' ', '')}"
        segno.make(address, error="m").terminal(sys.stdout, compact=True)


@page.command()
@config_option
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path), default=Path("doorward-authority.crt"))
def authority(config: Path, out: Path) -> None:
    """Write the page's authority to OUT, to be installed on a phone or computer.

    It can vouch for this doorbell's name and for local addresses, and for nothing else.
    """
    answer, certificate = _ask(config, "page_authority")
    files.write(out, certificate)
    click.echo(f"{out}: SHA-256 {answer['fingerprint']}")


def _ask(config: Path, op: str) -> tuple[dict[str, Any], bytes]:
    from agent.adapters.state_folder import StateFolder
    from agent.errors import ConfigurationError
    from agent.owner.link import DeviceLink

    configuration = load(config)
    if configuration.page is None:
        raise ConfigurationError(f"{config} has no [page] section.", remedy="Add it, and start 'doorward run' again.")
    with DeviceLink(StateFolder(configuration.device.state_dir).control) as link:
        return link.fetch(op)


def _in_two_lines(fingerprint: str) -> str:
    half = len(fingerprint) // 2
    return f"{fingerprint[:half].strip()}\n        {fingerprint[half:].strip()}"
