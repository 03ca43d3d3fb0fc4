"""`doorward notify test|status`: tests and shows the delivery of the owner's alerts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import click

from agent.cli.frame import Group, config_option, emit_json, json_option
from agent.cli.language import in_words, say
from agent.config import load
from agent.errors import ConfigurationError
from agent.ipc.control_operations import GetStatus, SendTestAlert

__all__ = ["notify"]

_PATIENCE_S: Final = 25.0
_LOOK_S: Final = 0.2


@click.group(cls=Group)
def notify() -> None:
    """Test and show the alerts on the owner's phone ([alerts] in the configuration)."""


@notify.command()
@config_option
@json_option
def test(config: Path, as_json: bool) -> None:
    """Send one neutral message through every channel and wait until each has accepted it.

    It goes through the running device's queue and its uplink, like every alert.  If a channel did not accept it, the
    exit status is 1; the message stays in the queue and is tried again.
    """
    with _linked(config) as link:
        before = _channels(link)
        if not before:
            raise ConfigurationError(
                "No channel is configured: alerts go only to the log.",
                remedy=f"Add [alerts] to {config}, as config/doorward.toml shows, and restart the doorbell.",
            )
        names = [name for name in link.ask(SendTestAlert()).channels if name in before]
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            now = _channels(link)
            open_ones = [name for name in names if not _settled(before[name], now.get(name, before[name]))]
            if not open_ones or time.monotonic() > deadline:
                break
            time.sleep(_LOOK_S)
    # A channel that an owner has taken out meanwhile keeps its old numbers.
    now = before | now
    failed = [name for name in names if now[name]["delivered"] <= before[name]["delivered"]]
    if as_json:
        emit_json({name: {"delivered": name not in failed, "fault": now[name]["fault"]} for name in names})
    else:
        for name in names:
            state = (now[name]["fault"] or "no answer yet") if name in failed else "delivered"
            click.echo(f"{name}: {in_words(state)}")
    if failed:
        raise SystemExit(1)


@notify.command()
@config_option
@json_option
def status(config: Path, as_json: bool) -> None:
    """Show each channel: delivered and waiting alerts, and its fault."""
    with _linked(config) as link:
        answer = link.document(GetStatus()).get("alerts") or {"channels": {}}
    if as_json:
        emit_json(answer)
        return
    if not answer["channels"]:
        say("No channel is configured: alerts go only to the log.")
    for name, each in answer["channels"].items():
        said = in_words(f"{each['delivered']} delivered, {each['waiting']} waiting")
        trouble = f"failed {each['failures']} times: {each['fault']}" if each["failures"] else ""
        click.echo(f"{name}: {'; '.join(filter(None, (said, in_words(trouble))))}")


def _linked(config: Path) -> Any:
    from agent.custodian.state_folder import StateFolder
    from agent.ipc.control_client import DeviceLink

    return DeviceLink(StateFolder(load(config).device.state_dir).control)


def _channels(link: Any) -> dict[str, dict[str, Any]]:
    answer = link.document(GetStatus()).get("alerts")
    return dict(answer["channels"]) if answer else {}


def _settled(before: dict[str, Any], now: dict[str, Any]) -> bool:
    return bool(now["delivered"] > before.get("delivered", 0) or now["failures"] > before.get("failures", 0))
