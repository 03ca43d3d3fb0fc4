"""`doorward owner update`: the update on offer, and an owner's signed choice of it."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from agent.cli.frame import emit_json, json_option
from agent.cli.words import plain
from agent.clients.cli.owner.options import device_option, keys_option, load_keys, yes_option
from agent.clients.owner.clock import wall_ms
from agent.clients.owner.statements import sign_and_submit
from agent.clients.owner.sync import sync
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_operations import GetUpdate, UpdateAnswer
from agent.wire.statements import UpdateChoice

__all__ = ["update"]


@click.command()
@keys_option
@device_option
@click.option("--install", is_flag=True, help="Choose the update on offer.")
@yes_option
@json_option
def update(folder: Path, device: Path, install: bool, sure: bool, as_json: bool) -> None:
    """Show the update on offer.  With --install, sign that the doorbell installs it now.

    The doorbell has verified that two of three of its makers signed the update.  It installs it beside the running
    version, tries it with the camera, and goes back if it does not run well.  Recording pauses for about a
    minute.  For security updates without asking:  doorward owner settings --updates security
    """
    with DeviceLink(device) as link:
        answer = link.ask(GetUpdate())
    if not install:
        _show(answer, as_json=as_json)
        return
    offer = answer.offer
    if offer is None:
        click.echo("No update is on offer.")
        raise click.exceptions.Exit(1)
    keys = load_keys(folder)
    if not sure:
        click.confirm(f"{_described(answer)}\nInstall {plain(offer.version)} now?", abort=True, err=True)
    with DeviceLink(device) as link:
        synced = sync(link, keys)
        sign_and_submit(link, keys, synced, UpdateChoice, now_ms=wall_ms(), version=offer.version, sha256=offer.sha256)
    if as_json:
        emit_json({"chosen": offer.version})
    else:
        click.echo(f"Chosen: {plain(offer.version)}.  It is installed within minutes.")


def _show(answer: UpdateAnswer, *, as_json: bool) -> None:
    if as_json:
        emit_json(msgspec.to_builtins(answer))
        return
    click.echo(f"Running: {plain(answer.running)}")
    if not answer.looks:
        click.echo("This doorbell does not look for updates: its configuration has no [updates].")
    if answer.trouble is not None:
        click.echo(f"The newest look for updates failed: {plain(answer.trouble)}.")
    if answer.outcome is not None:
        click.echo(f"The last update: {plain(answer.outcome.version)}, {plain(answer.outcome.result)}.")
    if answer.offer is not None:
        click.echo(_described(answer))
        if answer.chosen:
            click.echo("It is chosen, and will be installed.")
    else:
        click.echo("No update is on offer.")
    click.echo(f"Security updates: {'installed without asking' if answer.automatic else 'wait for an owner'}.")


def _described(answer: UpdateAnswer) -> str:
    offer = answer.offer
    assert offer is not None  # noqa: S101 (the callers looked)
    kind = "a security update" if offer.security else "an update"
    notes = "\n".join(plain(line) for line in offer.notes.get("en", "").splitlines())
    return f"{plain(offer.version)} of {plain(offer.released)} is ready: {kind}.\n{notes}".rstrip()
