"""`doorward owner update`: the update on offer, and an owner's signed choice of it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click
import msgspec

from agent.cli.frame import emit_json, json_option
from agent.cli.language import confirm, in_words, say, spoken
from agent.cli.update_troubles import told
from agent.cli.words import plain
from agent.clients.cli.owner.options import device_option, keys_option, load_keys, yes_option
from agent.clients.owner.clock import wall_ms
from agent.clients.owner.statements import sign_and_submit
from agent.clients.owner.sync import sync
from agent.core.languages import ENGLISH
from agent.errors import ConfigurationError
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_operations import GetUpdate, UpdateAnswer
from agent.wire.statements import UpdateChoice, UpdateReversal

__all__ = ["update"]

_ENDED: Final = {
    "owners": "Its system did not accept the signature. Try again in ten minutes.",
    "time": "Its system did not know the time, or the yes was older than an hour. Try again.",
    "changed": "Something had changed since the yes. Try again.",
    "fault": "That version has a known vulnerability.",
    "failed": "That version did not run well, or the power went.",
}
"""Why root did not go back to the version before (`core.updates.ReversalRefusal`)."""


@click.command()
@keys_option
@device_option
@click.option("--install", is_flag=True, help="Choose the update on offer.")
@click.option("--back", is_flag=True, help="Sign that the doorbell goes back to the version before.")
@yes_option
@json_option
def update(folder: Path, device: Path, install: bool, back: bool, sure: bool, as_json: bool) -> None:
    """Show the update on offer.  With --install, sign that the doorbell installs it now.

    The doorbell has verified that two of three of its makers signed the update.  It installs it beside the running
    version, tries it with the camera, and goes back if it does not run well.  Recording pauses for about a
    minute.  For security updates without asking:  doorward owner settings --updates security
    """
    if install and back:
        raise ConfigurationError("--install and --back exclude each other.", remedy="Give one of them.")
    with DeviceLink(device) as link:
        answer = link.ask(GetUpdate())
    if back:
        _go_back(folder, device, answer, sure=sure, as_json=as_json)
        return
    if not install:
        _show(answer, as_json=as_json)
        return
    offer = answer.offer
    if offer is None:
        say("No update is on offer.")
        raise click.exceptions.Exit(1)
    keys = load_keys(folder)
    if not sure:
        _say_described(answer, err=True)
        confirm(f"Install {plain(offer.version)} now?", err=True)
    with DeviceLink(device) as link:
        synced = sync(link, keys)
        sign_and_submit(link, keys, synced, UpdateChoice, now_ms=wall_ms(), version=offer.version, sha256=offer.sha256)
    if as_json:
        emit_json({"chosen": offer.version})
    else:
        say(f"Chosen: {plain(offer.version)}.  It is installed within minutes.")


def _go_back(folder: Path, device: Path, answer: UpdateAnswer, *, sure: bool, as_json: bool) -> None:
    before, running = answer.back, plain(answer.running)
    if before is None:
        say("There is no version before this one.")
        raise click.exceptions.Exit(1)
    version = plain(before.version)
    if before.refused is not None:
        if before.refused == "fault":
            say(f"{version} has a known vulnerability.")
            say("On the doorbell:  sudo doorward update back")
        else:
            say("Root of this doorbell knows other owners.")
            say("On the doorbell:  sudo doorward update forget-owners")
        raise click.exceptions.Exit(1)
    keys = load_keys(folder)
    if not sure:
        say(f"Security faults that {running} mends are open again until you install it or a newer one.", err=True)
        confirm(f"Go back to {version} now? Recording pauses for about a minute.", err=True)
    with DeviceLink(device) as link:
        sign_and_submit(
            link, keys, sync(link, keys), UpdateReversal, now_ms=wall_ms(), version=answer.running,
            before=before.version, change=before.change,
        )  # fmt: skip
    if as_json:
        emit_json({"chosen": before.version})
    else:
        say(f"Chosen: {version}.  It runs within minutes.")


def _show(answer: UpdateAnswer, *, as_json: bool) -> None:
    if as_json:
        emit_json(msgspec.to_builtins(answer))
        return
    say(f"Running: {plain(answer.running)}")
    if not answer.looks:
        say("This doorbell does not look for updates: its configuration has no [updates].")
    if answer.trouble is not None:
        _say_trouble(answer.trouble)
    if answer.outcome is not None:
        say(f"The last update: {plain(answer.outcome.version)}, {in_words(plain(answer.outcome.result))}.")
    if answer.back is not None and answer.back.ended is not None:
        say(f"The doorbell did not go back to {plain(answer.back.version)}.")
        say(_ENDED.get(answer.back.ended, plain(answer.back.ended)))
    if answer.offer is not None:
        _say_described(answer)
        if answer.offer.withdrawn:
            version = plain(answer.offer.version)
            say(f"{version} was begun here before and did not stay. Only an owner's yes installs it.")
        if answer.chosen:
            say("It is chosen, and will be installed.")
    else:
        say("No update is on offer.")
    say("Security updates are installed without asking." if answer.automatic else "Security updates wait for an owner.")


def _say_trouble(trouble: str) -> None:
    words = told(trouble)
    if words is None:  # of a later version
        say(f"The newest look for updates failed: {in_words(plain(trouble))}.")
        return
    say("The newest look for updates failed.")
    say(f"  {words.message}")
    say(f"  {words.remedy}")


def _say_described(answer: UpdateAnswer, *, err: bool = False) -> None:
    offer = answer.offer
    assert offer is not None  # noqa: S101 (the callers looked)
    kind = in_words("Security update" if offer.security else "Update")
    say(f"{kind} {plain(offer.version)} of {plain(offer.released)} is ready.", err=err)
    notes = (offer.notes.get(spoken()) or offer.notes.get(ENGLISH, "")).strip()
    if notes:
        click.echo("\n".join(plain(line) for line in notes.splitlines()), err=err)
