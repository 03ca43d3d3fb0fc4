"""`doorward owner settings`: name, place, zones, sensitivity, how long to keep, quiet and private hours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import click
import msgspec
from msgspec import Meta

from agent.cli.frame import Fraction, Number, emit_json, json_option
from agent.cli.language import confirm, counted, in_words, listed, say
from agent.cli.words import hours, plain
from agent.clients.cli.owner.options import device_option, keys_option, load_keys, yes_option
from agent.clients.owner.device_settings import MATTER, change_settings, matter_of
from agent.config.reading import convert, read_text
from agent.config.settings import CrossFieldError, Section, Weekday, ZoneConfig
from agent.core.alerts.policy import minute_of_day, time_of_day
from agent.errors import ConfigurationError, FormatError
from agent.ipc.control_client import DeviceLink, read_settings
from agent.wire import strictjson
from agent.wire.area import Point
from agent.wire.fields import ZoneKind
from agent.wire.statements import PrivateHoursSetting, QuietHoursSetting, Settings, ZoneSetting

__all__ = ["settings"]

_DAYS = [day.value for day in Weekday]
_KEYS = {
    "name": "name", "position": "position", "sensitivity": "sensitivity_percent",
    "smallest-person": "smallest_person", "zones": "zones",
    "max-bytes": "max_bytes", "max-age-days": "max_age_days", "quiet": "quiet", "private": "private",
    "updates": "updates",
}  # fmt: skip
"""The options' names, and the statement's."""


@click.command()
@keys_option
@device_option
@click.option("--name", metavar="NAME", help="The doorbell's name.")
@click.option("--position", metavar="LAT,LON", help="Its position, in degrees.  It never leaves the device.")
@click.option("--sensitivity", type=Fraction(0.1, 10), help="0.1 (dull) to 10 (keen).")
@click.option("--smallest-person", type=Fraction(0, 0.8),
              help="The smallest person that counts: 0 (anything) to 0.8 of the picture's height.")  # fmt: skip
@click.option("--zones", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="A TOML file of [[motion.zones]], written as in the configuration and nothing else in it.  "
                   "They replace all zones and privacy masks.")  # fmt: skip
@click.option(
    "--max-bytes", metavar="BYTES", type=Number(min=10_000_000), help="The most bytes to keep, within the file's bound."
)
@click.option(
    "--max-age-days", metavar="DAYS", type=Number(1, 3650), help="The most days to keep, within the file's bound."
)
@click.option("--quiet", metavar="HH:MM-HH:MM", help="Quiet hours of the household.")
@click.option("--private", multiple=True, metavar="DAYS@HH:MM-HH:MM",
              help="Hours without a camera, like sat,sun@10:00-12:30.  May be given several times.")  # fmt: skip
@click.option("--updates", type=click.Choice(["ask", "security"]),
              help="security: install security updates without asking.  ask: each update waits for you.")  # fmt: skip
@click.option("--reset", multiple=True, type=click.Choice([*_KEYS, "all"]), help="Use the file's value again.")
@yes_option
@json_option
def settings(
    folder: Path, device: Path, position: str | None, sensitivity: float | None, smallest_person: float | None,
    zones: Path | None,
    quiet: str | None, private: tuple[str, ...], reset: tuple[str, ...], sure: bool, as_json: bool, **plain: Any,
) -> None:  # fmt: skip
    """Show or change a device's household settings.

    Without options it shows the settings.  Your settings are signed, override the configuration, and take effect within
    seconds. Zones and masks take effect when the camera next opens: at once, or after the visitor at the door has left.
    """
    changes: dict[str, Any] = dict.fromkeys(MATTER if "all" in reset else (_KEYS[name] for name in reset))
    changes |= {name: value for name, value in plain.items() if value is not None}
    if position is not None:
        changes["position"] = _position(position)
    if sensitivity is not None:
        changes["sensitivity_percent"] = round(sensitivity * 100)
    if smallest_person is not None:
        changes["smallest_person"] = round(smallest_person * 10_000)
    if zones is not None:
        changes["zones"] = _zones(zones)
    if quiet is not None:
        begins, ends = _span(quiet, "--quiet")
        changes["quiet"] = QuietHoursSetting(begins_minute=begins, ends_minute=ends)
    if private:
        changes["private"] = tuple(map(_private, private))
    keys = load_keys(folder)
    if not changes:
        with DeviceLink(device) as link:
            _show(matter_of(read_settings(link)), as_json)
        return
    if not sure:
        with DeviceLink(device) as link:
            before = read_settings(link)
        confirm(_question(changes, before), err=True)
    with DeviceLink(device) as link:
        now = change_settings(link, keys, changes)
    _show(now, as_json)


def _question(changes: dict[str, Any], before: Settings | None) -> str:
    """Returns the changes as a question. It names removed masks, because a mask may hide a neighbour's window."""
    zones = changes.get("zones")
    words = [name for name, value in sorted(changes.items()) if value is not None and name != "zones"]
    if zones is not None:
        words.append(f"{counted(len(zones), 'zone')} ({counted(len(list(_masks(zones))), 'privacy mask')})")
    question = [in_words(f"Set {listed(words)}")] if words else []
    if again := [name for name, value in sorted(changes.items()) if value is None]:
        question.append(in_words(f"as the configuration says: {listed(again)}"))
    if "zones" in changes:
        stood = None if before is None else before.zones
        kept = {mask.corners for mask in _masks(zones or ())}
        going = [f"'{plain(mask.name)}'" for mask in _masks(stood or ()) if mask.corners not in kept]
        if going:
            question.append(in_words(f"removed: {counted(len(going), 'privacy mask')}, {listed(going)}"))
        if stood is None and zones is not None:
            question.append(in_words("all zones and privacy masks of the configuration are removed"))
    asked = "; ".join(question)
    return f"{asked[:1].upper()}{asked[1:]}?"


def _masks(zones: tuple[ZoneSetting, ...]) -> Iterator[ZoneSetting]:
    return (zone for zone in zones if zone.kind is ZoneKind.PRIVACY)


def _show(now: dict[str, Any], as_json: bool) -> None:
    values = {name: msgspec.to_builtins(now[name]) for name in MATTER if name in now}
    if as_json:
        emit_json(values)
        return
    if not values:
        say("No setting is changed: the configuration applies.  See: doorward config show")
    for name, value in values.items():
        click.echo(f"{name:<20} {_said(name, value)}")


def _said(name: str, value: Any) -> str:
    """As a person writes it: hours as hours, the rest as JSON."""
    if name not in ("quiet", "private"):
        return msgspec.json.encode(value).decode()
    spans = [value] if name == "quiet" else value
    return "; ".join(
        hours(
            time_of_day(each["begins_minute"]),
            time_of_day(each["ends_minute"]),
            [_DAYS[day] for day in each.get("days", ())],
        )
        for each in spans
    )


def _position(text: str) -> Point:
    try:
        latitude, longitude = map(float, text.split(","))
        place = Point(lat=latitude, lon=longitude)
        strictjson.encode(place)  # which checks it: degrees beyond a pole
    except (ValueError, FormatError) as error:
        raise ConfigurationError(
            f"--position '{text}' is not a position.",
            remedy="Write it like 52.09,5.12: latitude to 90, longitude to 180.",
        ) from error
    return place


class _Zones(Section, frozen=True, kw_only=True):
    """`[motion]`"""

    zones: Annotated[tuple[ZoneConfig, ...], Meta(max_length=32)]


class _ZonesFile(Section, frozen=True, kw_only=True):
    """Either `[[motion.zones]]` as in the configuration, or `[[zones]]`."""

    motion: _Zones | None = None
    zones: Annotated[tuple[ZoneConfig, ...], Meta(max_length=32)] | None = None


def _one_list(file: _ZonesFile) -> Iterator[CrossFieldError]:
    remedy = "Write [[motion.zones]] as in config/doorward.toml, or zones = [] for none at all."
    if file.motion is None and file.zones is None:
        yield CrossFieldError(("motion", "zones"), "there are no zones in this file.", remedy)
    if file.motion is not None and file.zones is not None:
        yield CrossFieldError(("zones",), "there are also zones under [[motion.zones]].", "Write all of them there.")


def _zones(path: Path) -> tuple[ZoneSetting, ...]:
    file = convert(read_text(path), path, _ZonesFile, _one_list)
    found = file.zones if file.motion is None else file.motion.zones
    return tuple(
        ZoneSetting(
            name=zone.name,
            kind=zone.kind,
            corners=tuple((round(x * 10_000), round(y * 10_000)) for x, y in zone.corners),
            sensitivity_percent=round(zone.sensitivity * 100),
            smallest_person=round(zone.smallest_person * 10_000),
        )
        for zone in found or ()
    )


def _private(text: str) -> PrivateHoursSetting:
    names, _, span = text.rpartition("@")
    days = names.split(",") if names else _DAYS
    if not set(days) <= set(_DAYS):
        raise ConfigurationError(f"--private '{text}' names no days.", remedy="Write them like sat,sun@10:00-12:30.")
    begins, ends = _span(span, "--private")
    if begins == ends:
        raise ConfigurationError(
            f"--private '{text}' would be empty or a whole day.",
            remedy="Choose another end.  For a whole day, use two spans: "
            "--private sat@00:00-12:00 --private sat@12:00-00:00.",
        )
    return PrivateHoursSetting(days=tuple(_DAYS.index(day) for day in days), begins_minute=begins, ends_minute=ends)


def _span(text: str, option: str) -> tuple[int, int]:
    try:
        begins, ends = text.split("-")
        return minute_of_day(begins), minute_of_day(ends)
    except ValueError as error:
        raise ConfigurationError(f"{option} '{text}' is not a span of the day.", remedy="Write 22:00-07:00.") from error
