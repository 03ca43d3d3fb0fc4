"""Shared parts of the owner's commands: the options for keys and device, the passphrase prompt, the search for an
id."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import click

from agent.cli.language import prompt
from agent.clients.owner.keys import DEFAULT_FOLDER, OwnerKeys
from agent.custodian.state_folder import StateFolder
from agent.errors import ConfigurationError

__all__ = [
    "ask_passphrase",
    "control_socket",
    "device_option",
    "keys_option",
    "load_keys",
    "match_one",
    "plan_argument",
    "plan_out_option",
    "yes_option",
]

_Command = TypeVar("_Command", bound=Callable[..., Any])
_STATE: Final = Path("/var/lib/doorward")
_ANSWER: Final = "doorward.passphrase"


def keys_option(command: _Command) -> _Command:
    """Adds `--keys FOLDER` as the argument `folder`."""
    return click.option(
        "--keys",
        "folder",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="DOORWARD_OWNER",
        default=DEFAULT_FOLDER,
        show_default=True,
        show_envvar=True,
        help="The folder with your keys.",
    )(command)


def device_option(command: _Command) -> _Command:
    """Adds `--device SOCKET` and `--relay NAME` as the argument `device`: a socket in both cases."""

    @functools.wraps(command)
    def run(*values: Any, device: Path, relay: str | None, **options: Any) -> Any:
        if relay is None:
            return command(*values, device=device, **options)
        from agent.clients.cli.owner.relay import relayed_socket

        with relayed_socket(options.get("folder", DEFAULT_FOLDER), relay) as place:
            return command(*values, device=place, **options)

    relayed = click.option(
        "--relay", metavar="NAME", envvar="DOORWARD_RELAY", show_envvar=True,
        help="Reach the device of this name or id through its relay (see 'doorward owner relay').",
    )(cast(_Command, run))  # fmt: skip
    return click.option(
        "--device",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="DOORWARD_DEVICE",
        default=lambda: control_socket(_STATE),
        show_default="this machine's",
        show_envvar=True,
        help="The device's control socket.",
    )(relayed)


def control_socket(state: Path) -> Path:
    """Returns the socket of an installation, or else of `doorward run`. A missing right to look there is no error."""
    try:
        return StateFolder(state).control
    except PermissionError:
        return state / "control.sock"


def yes_option(command: _Command) -> _Command:
    """Adds `--yes` as the argument `sure`."""
    return click.option("--yes", "sure", is_flag=True, help="Do not ask for confirmation.")(command)


def plan_argument(command: _Command) -> _Command:
    """Adds PLAN as the argument `plan`: a file with redactions, which exists."""
    kind = click.Path(path_type=Path, dir_okay=False, exists=True)
    return click.argument("plan", metavar="PLAN", type=kind)(command)


def plan_out_option(command: _Command) -> _Command:
    """Adds `--out PLAN`: the file for a new plan."""
    return click.option(
        "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="PLAN", required=True,
        help="Write the plan here, for 'doorward owner redact'.",
    )(command)  # fmt: skip


def load_keys(folder: Path) -> OwnerKeys:
    """Loads the keys and asks for the passphrase on the terminal if they need one."""
    return OwnerKeys.load(folder.expanduser(), passphrase=ask_passphrase)


def ask_passphrase() -> str:
    """Asks once for each command: `--relay` loads the keys a second time."""
    context = click.get_current_context(silent=True)
    answers = context.find_root().meta if context is not None else {}
    if _ANSWER not in answers:
        answers[_ANSWER] = prompt("Passphrase of your keys", hide_input=True, err=True)
    return str(answers[_ANSWER])


def match_one(what: str, start: str, names: Iterable[str]) -> str:
    """The one of `names` that begins with `start`.  Raises `ConfigurationError`."""
    found = sorted({name for name in names if name.startswith(start)}) if start else []
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigurationError(f"There is no {what} '{start}'.", remedy="Copy its id, or the beginning of it.")
    raise ConfigurationError(f"{len(found)} ids begin with '{start}'.", remedy="Give more of the id.")
