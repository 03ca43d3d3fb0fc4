"""`doorward init`, `status` and `requests`: the device's own commands."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from agent.cli.frame import config_option, emit_json, json_option
from agent.cli.language import counted, in_words, say
from agent.cli.status_rows import show_rows, status_rows
from agent.config import load
from agent.ipc.control_operations import GetStatus, ListRequests

__all__ = ["init", "requests", "status"]


@click.command()
@config_option
@json_option
def init(config: Path, as_json: bool) -> None:
    """Make this machine a device: its state directory and its signing key.

    The key signs the device's records and opens no footage. The device starts to record after an owner has enrolled.
    """
    from agent.custodian.state_folder import StateFolder
    from agent.wire.identities import private_key_from_seed, public_key_of

    folder = StateFolder(load(config).device.state_dir)
    key = private_key_from_seed(secrets.token_bytes(32))
    folder.initialise(key)
    device = public_key_of(key)
    if as_json:
        emit_json({"device": device.text, "device_id": device.id, "state_dir": folder.root})
        return
    say(f"This is now the device {device.id}; its state is in {folder.root}.")
    say("\nNext:")
    start = "sudo systemctl start doorward.target" if folder.divided else "doorward run"
    click.echo(f"  {start:44}  {in_words('start it; it waits for an owner')}")
    click.echo(f"  {'doorward owner keygen':44}  {in_words('make your keys, on your own computer')}")
    click.echo(f"  doorward owner enrol --device {folder.control}")


@click.command()
@config_option
@click.option("--watch", is_flag=True, help="Show live figures until Ctrl-C.")
@json_option
def status(config: Path, watch: bool, as_json: bool) -> None:
    """Show what the running device is doing: camera, vault, link, and what waits for the owner."""
    if watch:
        from agent.cli import status_watch

        status_watch.watch(lambda: _ask(config)[0])
        return
    answer, waiting = _ask(config)
    if as_json:
        emit_json({**answer, "requests_waiting": len(waiting["requests"])})
        return
    show_rows(status_rows(answer, len(waiting["requests"])))


@click.command()
@config_option
@click.option("--all", "everything", is_flag=True, help="Also list finished requests.")
@json_option
def requests(config: Path, everything: bool, as_json: bool) -> None:
    """List footage requests: the requester, the time window and the state of each.

    Names come from the trust bundle.  The text of a request is sealed to the owners; to read it, use doorward owner
    review.  Requests over a limit are blocked. They are counted here and never shown to you.
    """
    from agent.ipc.control_client import DeviceLink

    with DeviceLink(_socket(config)) as link:
        answer = link.document(ListRequests(everything))
    if as_json:
        emit_json(answer)
        return
    if not answer["requests"]:
        say("No request has arrived so far." if everything else "No request is waiting for you.")
    for request in answer["requests"]:
        click.echo(f"{request['id']}  {click.style(in_words(request['state']), bold=True)}")
        match = in_words(f"{counted(request['segments'], 'segment')} match")
        if None in (request.get("kind"), request.get("from"), request.get("to")):
            received = in_words(f"received {_time(request['received_ms'] // 1000)} UTC")
            click.echo(f"    {request['requester_name']}, {received}")
            continue
        kind, incident = in_words(request["kind"]), in_words(request.get("incident") or "")
        click.echo(f"    {request['requester_name']} ({kind}), {incident}")
        click.echo(f"    {_time(request['from'])} – {_time(request['to'])} UTC, {match}")
    if answer["blocked"]:
        say(f"\nBlocked automatically: {len(answer['blocked'])}")
        for blocked in answer["blocked"][:10]:
            click.echo(f"    {blocked['requester']}: {in_words(blocked['reason'])}")
    without_effect = ", ".join(f"{count} {in_words(name)}" for name, count in answer["counters"].items())
    if without_effect:
        say(f"\nMessages without effect: {without_effect}.")


def _ask(config: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    from agent.ipc.control_client import DeviceLink

    with DeviceLink(_socket(config)) as link:
        return link.document(GetStatus()), link.document(ListRequests())


def _socket(config: Path) -> Path:
    from agent.custodian.state_folder import StateFolder

    return StateFolder(load(config).device.state_dir).control


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
