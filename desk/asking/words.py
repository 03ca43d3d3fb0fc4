"""Sentences of the desk about areas, times and limits, in the reader's language."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.utils import formats
from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from agent.errors import DoorwardError
from agent.wire.area import Bounds
from agent.wire.limits import OverLimit
from desk.asking.live_check import CheckFinding, Code, Level, Topic
from desk.asking.windows import TimeFault, WindowError
from desk.reasons import error_words

__all__ = ["MOMENT", "TOPICS", "Statement", "error_text", "statements"]

MOMENT: Final = "j M Y, H:i"
"""How pages write a moment: day, month, year and a clock of 24 hours, in each language."""
TOPICS: Final[Mapping[Topic, str | Promise]] = {
    Topic.AREA: _("Area"),
    Topic.PLACE: _("Place"),
    Topic.TIME: _("Time"),
    Topic.RATE: _("Earlier requests"),
    Topic.PROMISE: _("Promise"),
    Topic.ROOT: _("Trust"),
}

_OVER: Final[Mapping[OverLimit, str | Promise]] = {
    OverLimit.WINDOW_TOO_SHORT: _("Doors refuse less than 15 minutes. Choose a longer time."),
    OverLimit.WINDOW_TOO_LONG: _("Doors refuse more than 12 hours, or the shorter limit of your root. Choose less."),
    OverLimit.WINDOW_IN_FUTURE: _("The time lies in the future. Ask about what has happened."),
    OverLimit.LOOK_BACK_TOO_FAR: _("The time lies too far back. Doors answer about the last 45 days at most."),
    OverLimit.AREA_TOO_SMALL: _(
        "The area is too small: doors would stand out. Draw a circle of at least 144 m radius, or a square of 260 m. "
        "Parts narrower than 120 m do not count."
    ),
    OverLimit.AREA_TOO_LARGE: _("The area is too large. Draw at most 1.29 km², a circle of 642 m radius."),
    OverLimit.EXPIRED: _("The last day to answer is over."),
    OverLimit.LIVES_TOO_LONG: _("Doors refuse requests that stay open for more than 30 days."),
    OverLimit.KEPT_TOO_LONG: _("Doors refuse requests that keep footage for longer than your root or ten years allow."),
    OverLimit.CASE: _("This case has already asked as often as doors allow in one place."),
}

_LEVELS: Final[Mapping[Level, str | Promise]] = {
    Level.GOOD: _("Good"),
    Level.UNKNOWN: _("Unknown"),
    Level.WARNING: _("Look again"),
    Level.REFUSED: _("Refused"),
}

# Fixed sentences of the doors' own code, so that a translation of each one exists.
_OF_THE_DOORS: Final = (
    gettext_noop("area: the outline touches itself."),
    gettext_noop("area: the outline runs back on itself."),
    gettext_noop("area: a vertex stands twice."),
    gettext_noop("area: it spans more than 5000 m."),
    gettext_noop("area: it touches the antimeridian."),
    gettext_noop("area: it reaches beyond 80° latitude."),
    gettext_noop("Draw the outline once around, without crossings."),
    gettext_noop("Draw it smaller and rounder."),
    gettext_noop("Ask once on each side of it."),
    gettext_noop("Doorward does not serve the poles."),
    gettext_noop("The radius is not a number of metres."),
    gettext_noop("Write 144 to 642, for example 200."),
    gettext_noop("Write latitude, then longitude: 52.0907, 5.1214."),
    gettext_noop("The file is larger than 256 kB."),
    gettext_noop("Export a smaller file."),
    gettext_noop("The file is nested too deeply."),
    gettext_noop("The file is not JSON."),
    gettext_noop("The file is not UTF-8 text."),
    gettext_noop("Export it as GeoJSON."),
    gettext_noop("Export it as plain GeoJSON."),
    gettext_noop("The file does not hold exactly one polygon without holes."),
    gettext_noop("Export a single polygon as GeoJSON."),
    gettext_noop("A position in the file is not [longitude, latitude]."),
    gettext_noop("contact: neither email nor phone."),
    gettext_noop("Name a way to reach the contact."),
    gettext_noop("Use plain words, no links, single spaces."),
    gettext_noop("The request has changed since it was shown to you."),
    gettext_noop("Read it again, then approve it."),
    gettext_noop("A second person approves a request."),
    gettext_noop("Ask another supervisor to approve it."),
    gettext_noop("A supervisor approves requests."),
    gettext_noop("Ask a supervisor of your organisation."),
    gettext_noop("Only the author submits a request."),
    gettext_noop("Save it under your name first."),
    gettext_noop("Load the page again: another person may have changed it."),
    gettext_noop("Your role does not allow this step."),
    gettext_noop("Ask a colleague who may write requests."),
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One line of the check: its topic, level and sentence."""

    topic: str
    level: str
    level_name: str
    text: str
    code: str


def statements(findings: Iterable[CheckFinding], zone: ZoneInfo) -> list[Statement]:
    return [
        Statement(
            str(TOPICS[each.topic]), each.level.value, str(_LEVELS[each.level]), _sentence(each, zone), each.code.value
        )
        for each in findings
    ]


def error_text(error: DoorwardError) -> str:
    """Returns the message and the remedy in the reader's language."""
    if isinstance(error, WindowError):
        at = formats.date_format(error.at, MOMENT)
        if error.fault is TimeFault.DOUBLE:
            return gettext("%(at)s happens twice, because the clocks are set back. Say which one you mean.") % {
                "at": at
            }
        return gettext("%(at)s does not exist, because the clocks are set forward. Choose another time.") % {"at": at}
    return error_words(error)


def _sentence(finding: CheckFinding, zone: ZoneInfo) -> str:
    values: dict[str, Any] = dict(finding.values)
    if finding.code is Code.OVER_LIMIT:
        sentence = str(_OVER.get(values["over"], values["over"].value))
        if "km2" in values:
            sentence = f"{_km2(values['km2'])}. {sentence}"
        return sentence
    if finding.code is Code.WINDOW:
        return _window(values, zone)
    if finding.code is Code.OUTSIDE_REGIONS:
        values["regions"] = "; ".join(map(_region, values["regions"]))
    if finding.code is Code.AREA_SIZE:
        values["km2"] = _km2(values["km2"])
    return gettext(_SENTENCES[finding.code]) % values


_SENTENCES: Final[Mapping[Code, str]] = {
    Code.AREA_SIZE: gettext_noop("%(km2)s: within the limits of the doors."),
    Code.THIN_PARTS: gettext_noop(
        "%(percent)s %% of the area asks no door: those parts are narrower than 120 m. Draw it rounder to include them."
    ),
    Code.IN_REGION: gettext_noop("The area lies within your region."),
    Code.OUTSIDE_REGIONS: gettext_noop(
        "The area lies outside your region, so each door refuses. Your root allows: %(regions)s."
    ),
    Code.SWAPPED: gettext_noop(
        "Latitude and longitude seem to be exchanged: the other way round, the area lies where you work. "
        "Write latitude first."
    ),
    Code.REGION_UNKNOWN: gettext_noop(
        "Your region is unknown, because no bundle of your root is imported. Doors refuse areas outside it."
    ),
    Code.FAR_AWAY: gettext_noop("The area is far from all places about which you asked before."),
    Code.CASE_COUNT: gettext_noop("This case has asked %(asked)s of %(most)s times in this place."),
    Code.DAY_COUNT: gettext_noop(
        "Requests here in the last 24 hours: %(asked)s. Doors take %(usual)s, and fewer if their owner says so."
    ),
    Code.SAME_TIME: gettext_noop(
        "Earlier requests about this time and place: %(asked)s. Doors that are asked again may refuse."
    ),
    Code.KEPT: gettext_noop("You promise to keep footage for %(days)s days at most."),
    Code.NO_ROOT: gettext_noop(
        "No root vouches for your organisation, so no door would believe you. Ask your root for its bundle first."
    ),
    Code.NO_BUNDLE: gettext_noop(
        "The bundle of your root %(root)s is not here. Whether it lists you, and for which region, is unknown."
    ),
    Code.NOT_LISTED: gettext_noop(
        "The bundle of your root %(root)s does not list your key, so each door refuses. Ask the root to list it."
    ),
    Code.OTHER_KIND: gettext_noop(
        "Your root lists your organisation as another kind (%(kind)s), so each door refuses."
    ),
    Code.DOORS_ANSWERED: gettext_noop("Doors have answered you here before, so owners here trust your root."),
    Code.NO_DOOR_ANSWERED: gettext_noop(
        "No door has answered you here yet. The desk knows no doorbell: whether owners here trust your root is unknown."
    ),
}


def _window(values: Mapping[str, Any], zone: ZoneInfo) -> str:
    names = ("from_s", "to_s", "not_after_s")
    begin, end, until = (datetime.datetime.fromtimestamp(values[name], zone) for name in names)
    return gettext(
        "%(begin)s to %(end)s: %(minutes)s minutes. Days back: %(days)s of at most %(most)s. "
        "Owners can answer until %(until)s."
    ) % {
        "begin": formats.date_format(begin, MOMENT),
        "end": formats.date_format(end, MOMENT if begin.date() != end.date() else "H:i"),
        "minutes": values["minutes"],
        "days": values["look_back_days"],
        "most": values["most_days"],
        "until": formats.date_format(until, MOMENT),
    }


def _km2(km2: float) -> str:
    return f"{formats.number_format(round(km2, 3), 3)} km²"


def _region(region: Bounds) -> str:
    return gettext("%(south)s to %(north)s north, %(west)s to %(east)s east") % {
        "south": f"{region.south:g}",
        "north": f"{region.north:g}",
        "west": f"{region.west:g}",
        "east": f"{region.east:g}",
    }
