"""`doorward owner opt-out` and `opt-in`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from agent.cli.frame import emit_json, json_option
from agent.cli.owner.options import device_option, keys_option, load_keys, parse_time
from agent.cli.words import day
from agent.errors import ConfigurationError
from agent.owner import deciding
from agent.owner.link import DeviceLink
from agent.wire.fields import Incident, Kind
from agent.wire.statements import Scope

__all__ = ["opt_in", "opt_out"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _scope_options(command: _Command) -> _Command:
    for option in (
        click.option("--incident", type=click.Choice([each.value for each in Incident]), help="Only this incident."),
        click.option("--kind", type=click.Choice([each.value for each in Kind]), help="Only this kind of requester."),
        click.option("--requester", metavar="ID", help="Only this requester."),
    ):
        command = option(command)
    return command


@click.command("opt-out")
@_scope_options
@click.option("--until", metavar="TIME", help="Until then, like 2027-01-15T18:00 (UTC).  Without it: for good.")
@keys_option
@device_option
@json_option
def opt_out(
    requester: str | None, kind: str | None, incident: str | None, until: str | None, folder: Path, device: Path,
    as_json: bool,
) -> None:  # fmt: skip
    """Do not be asked: by anybody, or by some.

    Requests it covers end without a word, those waiting now among them.  Nobody can see that you opted out.
    """
    scope, value = _scope(requester, kind, incident)
    until_ms = parse_time(until, "--until") if until else None
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        deciding.opt_out(link, keys, scope, value, None if until_ms is None else until_ms // 1000)
    if as_json:
        emit_json({"scope": scope, "value": value, "until_s": until_ms and until_ms // 1000})
        return
    end = "for good" if until_ms is None else f"until {day(until_ms)} UTC"
    click.echo(f"Opted out of {_named(scope, value)}, {end}.")


@click.command("opt-in")
@_scope_options
@keys_option
@device_option
@json_option
def opt_in(
    requester: str | None, kind: str | None, incident: str | None, folder: Path, device: Path, as_json: bool
) -> None:
    """Be asked again.

    Lifts the opt-out of the same scope; requests that it ended stay ended.
    """
    scope, value = _scope(requester, kind, incident)
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        deciding.opt_in(link, keys, scope, value)
    if as_json:
        emit_json({"scope": scope, "value": value})
        return
    click.echo(f"The opt-out of {_named(scope, value)} is lifted.")


def _scope(requester: str | None, kind: str | None, incident: str | None) -> tuple[Scope, str | None]:
    given = [
        (scope, value)
        for scope, value in ((Scope.REQUESTER, requester), (Scope.KIND, kind), (Scope.INCIDENT, incident))
        if value is not None
    ]
    if len(given) > 1:
        raise ConfigurationError("An opt-out has one scope.", remedy="Run it once for each.")
    return given[0] if given else (Scope.ALL, None)


def _named(scope: Scope, value: str | None) -> str:
    return "all requests" if value is None else f"requests of the {scope.value} '{value}'"
