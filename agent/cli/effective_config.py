"""`doorward config show`: the household's settings, their values in force, and the source of each value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from agent.cli.frame import config_option, emit_json, json_option
from agent.cli.language import in_words, say
from agent.cli.words import hours
from agent.config import Configuration, load, sources
from agent.config.overlay import effective
from agent.custodian.state_folder import StateFolder
from agent.errors import NetworkError
from agent.ipc.control_client import DeviceLink, read_settings
from agent.wire.statements import Settings

__all__ = ["owners_settings", "show"]


@click.command()
@config_option
@json_option
def show(config: Path, as_json: bool) -> None:
    """Show the household's settings, their values and the source of each.

    The device reports the settings that an owner changed, on the page or with 'doorward owner settings'.  If no device
    runs, the command shows only the file and says so.
    """
    file = load(config)
    socket = StateFolder(file.device.state_dir).control
    answers, settings = owners_settings(file)
    in_force = effective(file, settings)
    lines = [_line(key, is_owners, in_force, file) for key, is_owners in sources(settings).items()]
    if as_json:
        emit_json({"file": config, "device_asked": answers, "settings": lines})
        return
    for line in lines:
        said = _said(in_force, line["key"])
        owners = f"set by an owner; the file has {_said(file, line['key'])}"
        if line["key"] == "alerts.quiet" and file.alerts is None:
            owners = "set by an owner; it has no effect, because the file has no [alerts]"
        where = in_words(owners if line["from"] == "owner" else f"from {config}")
        click.echo(f"{line['key']:<20} {click.style(said, bold=True)}  ({where})")
    if not answers:
        say(f"No device answers at {socket}: this shows the file only.", err=True)


def owners_settings(file: Configuration) -> tuple[bool, Settings | None]:
    """Returns whether a device answered, and its owner's settings. The device verified them; they are for display."""
    try:
        with DeviceLink(StateFolder(file.device.state_dir).control) as link:
            return True, read_settings(link)
    except NetworkError:
        return False, None


def _line(key: str, is_owners: bool, in_force: Configuration, file: Configuration) -> dict[str, Any]:
    return {
        "key": key,
        "value": _value(in_force, key),
        "from": "owner" if is_owners else "file",
        "file": _value(file, key),
    }


def _said(configuration: Configuration, key: str) -> str:
    """As a person writes it: hours as hours, the rest as JSON."""
    found = _found(configuration, key)
    if found and key == "alerts.quiet":
        return hours(*found)
    if found and key == "privacy.hours":
        return "; ".join(hours(each.begins, each.ends, [day.value for day in each.days]) for each in found)
    return _value(configuration, key)


def _found(configuration: Configuration, key: str) -> Any:
    found: Any = configuration
    for name in key.split("."):
        found = getattr(found, name, None)
    return found


def _value(configuration: Configuration, key: str) -> str:
    """Returns the value as JSON; a dash if it is not set."""
    found = _found(configuration, key)
    return "-" if found is None else msgspec.json.encode(found, enc_hook=str).decode()
