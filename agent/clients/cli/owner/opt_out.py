"""`doorward owner opt-out`: requests and bulletins that an owner does not want to receive, and quiet hours."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from agent.cli.frame import emit_json, json_option
from agent.cli.language import in_words, say
from agent.cli.times import parse_time
from agent.cli.words import day, opted_out, plain
from agent.clients.cli.owner.options import device_option, keys_option, load_keys
from agent.clients.owner import decisions
from agent.clients.owner.clock import wall_ms
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.sync import sync
from agent.clients.owner.trust_roots import trust_state
from agent.errors import ConfigurationError
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_operations import ListRequests, OptOutSummary
from agent.wire.fields import Incident, Kind
from agent.wire.statements import Scope

__all__ = ["opt_out"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _scope_options(command: _Command) -> _Command:
    for option in (
        click.option("--hours", metavar="FROM-TO", help="Quiet hours by the doorbell's clock: 22:00-07:00."),
        click.option(
            "--bulletins",
            metavar="KIND",
            type=click.Choice([each.value for each in Kind]),
            help="Bulletins of this kind of requester, and no requests.",
        ),
        click.option("--incident", type=click.Choice([each.value for each in Incident]), help="Only this incident."),
        click.option("--kind", type=click.Choice([each.value for each in Kind]), help="Only this kind of requester."),
        click.option("--root", metavar="ROOT", help="The root's id, if two roots list that requester's id."),
        click.option("--requester", metavar="ID", help="Only this requester."),
    ):
        command = option(command)
    return command


@click.group("opt-out")
def opt_out() -> None:
    """Opt out of requests: all, some, or at night.

    An outsider cannot see an opt-out. Denying a request also costs nothing.
    """


@opt_out.command("add")
@_scope_options
@click.option("--until", metavar="TIME", help="Until then, like 2027-01-15T18:00 (UTC).  Without it: for good.")
@keys_option
@device_option
@json_option
def add(
    requester: str | None, root: str | None, kind: str | None, incident: str | None, bulletins: str | None,
    hours: str | None, until: str | None, folder: Path, device: Path, as_json: bool,
) -> None:  # fmt: skip
    """Opt out of requests or bulletins, or set quiet hours.

    Covered requests end silently, including those that wait now.  Covered bulletins are not listed from now on.  With
    --hours no request ends: the doorbell tells you after the quiet hours.
    """
    scope, value = _scope(requester, root, kind, incident, bulletins, hours)
    until_ms = parse_time(until, "--until") if until else None
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        if value is not None and scope is Scope.REQUESTER:
            root = root or _root_of(value, _known(link, keys))
        decisions.opt_out(link, keys, scope, value, None if until_ms is None else until_ms // 1000, root=root)
    if as_json:
        emit_json({"scope": scope, "value": value, "root": root, "until_s": until_ms and until_ms // 1000})
        return
    if scope is Scope.HOURS:
        say(f"Alerts about requests come only outside {opted_out(scope, value)} ({_until(until_ms)}).")
        return
    say(f"Opted out of {opted_out(scope, value, root)}, {_until(until_ms)}.")


def _known(link: DeviceLink, keys: OwnerKeys) -> list[tuple[str, str]]:
    """Returns (id, root) of the requesters of the roots that this owner chose."""
    bundles = trust_state(link, keys).store.bundles.values()
    return sorted({(each.id, bundle.root) for bundle in bundles for each in bundle.requesters})


def _root_of(requester: str, listed: list[tuple[str, str]]) -> str:
    """Returns the root of the requester with this id. Raises `ConfigurationError` unless exactly one root has it."""
    roots = [root for name, root in listed if name == requester]
    if not roots:
        known = sorted({name for name, _ in listed})
        raise ConfigurationError(
            f"No trusted requester has the id '{plain(requester)}'.",
            remedy=f"Known: {plain(', '.join(known)) or 'none'}. For another one, name its root with --root.",
        )
    if len(roots) > 1:
        raise ConfigurationError(
            f"{len(roots)} roots have a requester with the id '{plain(requester)}'.",
            remedy=f"Add --root with one of: {', '.join(roots)}.",
        )
    return roots[0]


@opt_out.command("lift")
@_scope_options
@keys_option
@device_option
@json_option
def lift(
    requester: str | None, root: str | None, kind: str | None, incident: str | None, bulletins: str | None,
    hours: str | None, folder: Path, device: Path, as_json: bool,
) -> None:  # fmt: skip
    """Receive requests again.

    Lifts the opt-out of the same scope. Requests that it ended stay ended.
    """
    scope, value = _scope(requester, root, kind, incident, bulletins, hours)
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        standing = [
            each
            for each in _standing(link, keys)
            if (each.scope, each.value or None) == (scope, value) and root in (None, each.trust_root)
        ]
        if not standing:
            raise ConfigurationError(
                f"There is no opt-out of {opted_out(scope, value, root)}, so nothing is lifted.",
                remedy="List the opt-outs: doorward owner opt-out list.",
            )
        if value is not None and scope is Scope.REQUESTER:
            # An opt-out stays if its root is no longer trusted, so the root comes from the opt-out.
            root = _root_of(value, [(value, str(each.trust_root)) for each in standing])
        decisions.opt_in(link, keys, scope, value, root=root)
    if as_json:
        emit_json({"scope": scope, "value": value, "root": root})
        return
    say(f"The opt-out of {opted_out(scope, value, root)} is lifted.")


@opt_out.command("list")
@keys_option
@device_option
@json_option
def list_standing(folder: Path, device: Path, as_json: bool) -> None:
    """Show what you have opted out of, and until when."""
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        standing = _standing(link, keys)
    if as_json:
        emit_json({"opt_outs": msgspec.to_builtins(standing)})
        return
    if not standing:
        say("There are no opt-outs.")
    for each in standing:
        until_ms = None if each.until_s is None else each.until_s * 1000
        until = in_words("over") if until_ms is not None and until_ms <= wall_ms() else _until(until_ms)
        named = opted_out(each.scope, each.value or None, each.trust_root)
        click.echo(f"  {named}, {until}")


def _standing(link: DeviceLink, keys: OwnerKeys) -> list[OptOutSummary]:
    """Returns the opt-outs in force, by the device's answer."""
    sync(link, keys)
    answer = link.ask(ListRequests())
    return [*answer.opt_outs, *answer.quiet_hours]


def _until(utc_ms: int | None) -> str:
    return in_words("for good" if utc_ms is None else f"until {day(utc_ms)} UTC")


def _scope(
    requester: str | None,
    root: str | None,
    kind: str | None,
    incident: str | None,
    bulletins: str | None,
    hours: str | None,
) -> tuple[Scope, str | None]:
    written = None if hours is None else _hours(hours)
    given = [
        (scope, value)
        for scope, value in (
            (Scope.REQUESTER, requester),
            (Scope.KIND, kind),
            (Scope.INCIDENT, incident),
            (Scope.BULLETINS, bulletins),
            (Scope.HOURS, written),
        )
        if value is not None
    ]
    if len(given) > 1:
        raise ConfigurationError("An opt-out has one scope.", remedy="Run it once for each.")
    if root is not None and requester is None:
        raise ConfigurationError("--root names the root of a requester.", remedy="Add --requester.")
    return given[0] if given else (Scope.ALL, None)


def _hours(text: str) -> str:
    """`22:00-07:00` as the statement writes it: `2200-0700`."""
    found = re.fullmatch(r"(\d\d?):(\d\d)-(\d\d?):(\d\d)", text.strip())
    if found is None:
        raise ConfigurationError(f"--hours: '{text}' are not hours.", remedy="Write them like 22:00-07:00.")
    return f"{found[1]:0>2}{found[2]}-{found[3]:0>2}{found[4]}"
