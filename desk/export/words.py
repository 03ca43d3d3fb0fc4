"""Words of reports and tables: what clocks, gaps, checks and areas mean, in the language of the report."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from agent.clients.requester.checks import CheckKind
from agent.clients.requester.clips import Continuity, DisclosedClip
from agent.core.timebase import ClockQuality, utc_date
from agent.core.vault.redactions import RedactionKind
from agent.wire.area import Area, Circle
from agent.wire.fields import clean_text

__all__ = [
    "CHECKS",
    "CLOCKS",
    "CONTINUITIES",
    "area_words",
    "clip_quality",
    "clock_time",
    "day_time",
    "safe_words",
    "utc_time",
]

CLOCKS: Final[dict[ClockQuality, str | Promise]] = {
    ClockQuality.SYNCED: gettext_lazy("set by a time source during the recording, accurate to about a second"),
    ClockQuality.HELD: gettext_lazy("set by a time source earlier, it may be off by seconds"),
    ClockQuality.UNKNOWN: gettext_lazy("not set: order and length are right, date and hour may be wrong"),
}
CONTINUITIES: Final[dict[Continuity, str | Promise]] = {
    Continuity.UNBROKEN: gettext_lazy("no segment is left out between them"),
    Continuity.BROKEN: gettext_lazy("segments between them were recorded and not shared, or the disk failed"),
    Continuity.UNSIGNED: gettext_lazy("segments between them may be missing"),
}
REDACTIONS: Final[dict[RedactionKind, str | Promise]] = {
    RedactionKind.FACE: gettext_lazy("face covered"),
    RedactionKind.PLATE: gettext_lazy("number plate covered"),
    RedactionKind.AREA: gettext_lazy("area covered"),
    RedactionKind.VOICE: gettext_lazy("voice muted"),
}
CHECKS: Final[dict[CheckKind, str | Promise]] = {
    CheckKind.ARRIVED: gettext_lazy("Everything that was announced has arrived"),
    CheckKind.SEALED: gettext_lazy("The answer was sealed to the key of this request"),
    CheckKind.DEVICE: gettext_lazy("One device signed the answer as a whole"),
    CheckKind.ANSWERS: gettext_lazy("It answers exactly the request that was signed"),
    CheckKind.OWNERS: gettext_lazy("The device names its owners, the same as in earlier answers"),
    CheckKind.APPROVAL: gettext_lazy("One of these owners approved it, for this request and this key"),
    CheckKind.LEDGER: gettext_lazy("The device signed a ledger that holds the approval"),
    CheckKind.RECORDS: gettext_lazy("It holds exactly what the owner approved, as the device recorded it"),
    CheckKind.WINDOW: gettext_lazy("All of it lies in the requested window"),
    CheckKind.PARTS: gettext_lazy("Every file is bit for bit the one that the owner approved"),
    CheckKind.FOOTAGE: gettext_lazy("The opened content is the device's recording, or the owner's redaction of it"),
}


def clip_quality(clip: DisclosedClip) -> ClockQuality | None:
    """Returns the worst clock quality within a clip."""
    found = {segment.quality for segment in clip.segments}
    found |= {clip.poster.item.record.quality} if clip.poster else set()
    return next((quality for quality in reversed(list(ClockQuality)) if quality in found), None)


def safe_words(text: object) -> str:
    """Returns foreign text without control, direction and invisible characters, which could forge a line."""
    return clean_text(str(text))


def clock_time(at_ms: float) -> str:
    """Returns hours, minutes, seconds in the desk's time zone."""
    return f"{_local(at_ms):%H:%M:%S}"


def day_time(at_ms: float) -> str:
    """Returns date and time in the desk's time zone, with its distance from UTC."""
    return f"{_local(at_ms):%Y-%m-%d %H:%M:%S %z}"


def utc_time(at_ms: float) -> str:
    return f"{utc_date(at_ms):%Y-%m-%d %H:%M:%S} UTC"


def long_day(at_ms: float) -> str:
    """Returns the day in words, in the language of the report."""
    return str(date_format(_local(at_ms), "DATE_FORMAT"))


def area_words(area: Area) -> str:
    """Returns the area that was asked about: its middle, or its bounds, and its size."""
    size = f"{round(area.size_m2):,}".replace(",", " ")
    if isinstance(area, Circle):
        place: dict[str, Any] = {"radius": area.radius_m, "lat": f"{area.lat:.5f}", "lon": f"{area.lon:.5f}"}
        return _("%(radius)s m around %(lat)s, %(lon)s (%(size)s m²)") % (place | {"size": size})
    bounds = area.bounds
    corners = len(area.vertices)
    words = ngettext(
        "a polygon of %(corners)s corner (%(size)s m²), from %(south)s, %(west)s to %(north)s, %(east)s",
        "a polygon of %(corners)s corners (%(size)s m²), from %(south)s, %(west)s to %(north)s, %(east)s",
        corners,
    )
    sides = {name: f"{getattr(bounds, name):.5f}" for name in ("south", "west", "north", "east")}
    return words % (sides | {"corners": corners, "size": size})


def _local(at_ms: float) -> datetime:
    return utc_date(at_ms).astimezone(timezone.get_current_timezone())
