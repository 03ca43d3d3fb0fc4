"""The check beside the form: what doors and the root's bundle would say to a request, while it is written. No I/O.

Doors and desk share their code: `wire.area` measures, `wire.limits` judges, `wire.trust` knows the regions. The desk
knows no door. So it says "unknown" where only a door could tell: which roots its owner trusts, which tighter limits its
owner set, and what other requesters asked there.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from agent.clients.requester.request_builder import RequestDraft, excluded_share
from agent.clients.requester.roots import swapped
from agent.wire import limits
from agent.wire.area import Area, Bounds, Circle
from agent.wire.fields import Incident, Kind
from agent.wire.limits import HARD, EarlierRequests, OverLimit, RequestLimits
from agent.wire.messages import Contact, FootageRequest, Onward
from agent.wire.trust import TrustedRequester

__all__ = ["Asked", "CheckFinding", "Code", "Known", "Level", "Question", "Topic", "blocks", "check"]

_DAY_S: Final = 86_400
_HOUR_S: Final = 3600
_NEAR_DEGREES: Final = 2.0
"""An area this close to known ground is where it was meant to be."""
_NOTEWORTHY_SHARE: Final = 0.02
_ANY_RECIPIENT: Final = "age1pq1" + "q" * 1952
"""Has the form of a recipient. The limits do not look at it."""


class Topic(enum.StrEnum):
    """The part of the form that a finding is about."""

    AREA = "area"
    PLACE = "place"
    TIME = "time"
    RATE = "rate"
    PROMISE = "promise"
    ROOT = "root"


class Level(enum.StrEnum):
    GOOD = "good"
    UNKNOWN = "unknown"
    WARNING = "warning"
    REFUSED = "refused"
    """Each door would refuse the request, so the desk does not sign it."""


class Code(enum.StrEnum):
    """One statement. `words` has its sentences."""

    AREA_SIZE = "area-size"
    THIN_PARTS = "thin-parts"
    IN_REGION = "in-region"
    OUTSIDE_REGIONS = "outside-regions"
    SWAPPED = "swapped"
    REGION_UNKNOWN = "region-unknown"
    FAR_AWAY = "far-away"
    WINDOW = "window"
    CASE_COUNT = "case-count"
    DAY_COUNT = "day-count"
    SAME_TIME = "same-time"
    OVER_LIMIT = "over-limit"
    KEPT = "kept"
    NO_ROOT = "no-root"
    NO_BUNDLE = "no-bundle"
    NOT_LISTED = "not-listed"
    OTHER_KIND = "other-kind"
    DOORS_ANSWERED = "doors-answered"
    NO_DOOR_ANSWERED = "no-door-answered"


@dataclass(frozen=True, slots=True)
class CheckFinding:
    topic: Topic
    level: Level
    code: Code
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Question:
    """Content of the form. A part that is missing or unreadable is None, and is left out of the check."""

    area: Area | None = None
    from_s: int | None = None
    to_s: int | None = None
    not_after_s: int | None = None
    case: str = ""
    retention_days: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """An earlier request of this organisation, signed and not withdrawn."""

    area: Area
    from_s: int
    to_s: int
    case: str
    asked_s: int
    answered: bool = False
    """Doors count it against the same time while it is unanswered. A silent no is invisible at the desk."""


@dataclass(frozen=True, slots=True)
class Known:
    """Knowledge of the desk about the organisation's root, and of its own earlier requests."""

    root: str
    kind: Kind
    has_bundle: bool = False
    listed: TrustedRequester | None = None
    """The organisation in the root's bundle, or None if the bundle does not list its key now."""
    asked: tuple[Asked, ...] = ()

    @property
    def limits(self) -> RequestLimits:
        return self.listed.limits.applied_to(HARD) if self.listed else HARD


def check(question: Question, known: Known, now_s: int) -> list[CheckFinding]:
    """Returns the findings in the order of the form."""
    found = list(_of_root(question.area, known))
    if question.area is not None:
        found += _of_area(question.area, known, now_s)
        found += _of_place(question.area, known)
    if question.from_s is not None and question.to_s is not None and question.not_after_s is not None:
        found += _of_time(question.from_s, question.to_s, question.not_after_s, known, now_s)
    if question.area is not None and question.case:
        found += _of_rate(question, question.area, known, now_s)
    if question.retention_days is not None:
        found += _of_promise(question.retention_days, known, now_s)
    order = list(Topic)
    return sorted(found, key=lambda each: order.index(each.topic))


def blocks(findings: Iterable[CheckFinding]) -> bool:
    """Returns True if each door would refuse the request."""
    return any(each.level is Level.REFUSED for each in findings)


# Area and place


def _of_area(area: Area, known: Known, now_s: int) -> Iterable[CheckFinding]:
    over = limits.check(_probe(area, now_s), known.limits, now_s, EarlierRequests())
    values = {"size_m2": round(area.size_m2), "km2": area.size_m2 / 1e6, "doors_m2": round(area.opened_m2)}
    if over is not None:
        yield _over_limit(Topic.AREA, over, **values)
    else:
        yield CheckFinding(Topic.AREA, Level.GOOD, Code.AREA_SIZE, values)
    share = excluded_share(area)
    if share >= _NOTEWORTHY_SHARE:
        yield CheckFinding(Topic.AREA, Level.WARNING, Code.THIN_PARTS, {"percent": round(100 * share)})


def _of_place(area: Area, known: Known) -> Iterable[CheckFinding]:
    turned = swapped(area)
    if known.listed is not None:
        if known.listed.may_ask_about(area):
            yield CheckFinding(Topic.PLACE, Level.GOOD, Code.IN_REGION)
        elif turned is not None and known.listed.may_ask_about(turned):
            yield CheckFinding(Topic.PLACE, Level.REFUSED, Code.SWAPPED)
        else:
            yield CheckFinding(Topic.PLACE, Level.REFUSED, Code.OUTSIDE_REGIONS, {"regions": known.listed.regions})
        return
    ground = [each.area.bounds for each in known.asked]
    if ground and not _is_near(area, ground):
        # Without a bundle, the organisation's own earlier requests show where it works.
        code = Code.SWAPPED if turned is not None and _is_near(turned, ground) else Code.FAR_AWAY
        yield CheckFinding(Topic.PLACE, Level.WARNING, code)
    yield CheckFinding(Topic.PLACE, Level.UNKNOWN, Code.REGION_UNKNOWN)


def _is_near(area: Area, ground: Iterable[Bounds]) -> bool:
    return any(
        Bounds(
            each.south - _NEAR_DEGREES, each.west - _NEAR_DEGREES, each.north + _NEAR_DEGREES, each.east + _NEAR_DEGREES
        ).touches(area.bounds)
        for each in ground
    )


# Times and rates


def _of_time(from_s: int, to_s: int, not_after_s: int, known: Known, now_s: int) -> Iterable[CheckFinding]:
    values = {"minutes": (to_s - from_s) // 60, "from_s": from_s, "to_s": to_s, "not_after_s": not_after_s}
    probe = _probe(_any_area(known), now_s, from_s, to_s, not_after_s)
    over = limits.check(probe, known.limits, now_s, EarlierRequests())
    if over is not None:
        yield _over_limit(Topic.TIME, over, **values)
    else:
        values["look_back_days"] = (now_s - from_s) // _DAY_S
        values["most_days"] = known.limits.look_back_max_s // _DAY_S
        yield CheckFinding(Topic.TIME, Level.GOOD, Code.WINDOW, values)


def _of_rate(question: Question, area: Area, known: Known, now_s: int) -> Iterable[CheckFinding]:
    here = [each for each in known.asked if each.area.bounds.touches(area.bounds)]
    of_case = [each for each in here if each.case == question.case]
    today = [each for each in here if each.asked_s > now_s - _DAY_S]
    earlier = EarlierRequests(for_case=len(of_case))
    over = limits.check(_probe(_any_area(known), now_s), known.limits, now_s, earlier)
    values = {"asked": len(of_case), "most": known.limits.requests_per_case}
    if over is not None:
        yield _over_limit(Topic.RATE, over, **values)
    else:
        yield CheckFinding(Topic.RATE, Level.GOOD, Code.CASE_COUNT, values)
    # A door starts with this number a day, and its owner may set a lower one, which no desk can see.
    usual = min(RequestLimits().requests_per_requester_per_day, known.limits.requests_per_requester_per_day)
    level = Level.GOOD if len(today) < usual else Level.WARNING
    yield CheckFinding(Topic.RATE, level, Code.DAY_COUNT, {"asked": len(today), "usual": usual})
    if question.from_s is None or question.to_s is None:
        return
    same_time = [each for each in here if each.from_s < question.to_s and question.from_s < each.to_s]
    if len(same_time) >= known.limits.requests_per_case:
        yield CheckFinding(Topic.RATE, Level.WARNING, Code.SAME_TIME, {"asked": len(same_time)})


def _of_promise(retention_days: int, known: Known, now_s: int) -> Iterable[CheckFinding]:
    probe = _probe(_any_area(known), now_s, retention_days=retention_days)
    over = limits.check(probe, known.limits, now_s, EarlierRequests())
    values = {"days": retention_days, "most": known.limits.retention_max_days}
    if over is not None:
        yield _over_limit(Topic.PROMISE, over, **values)
    else:
        yield CheckFinding(Topic.PROMISE, Level.GOOD, Code.KEPT, values)


# Root


def _of_root(area: Area | None, known: Known) -> Iterable[CheckFinding]:
    if not known.root:
        yield CheckFinding(Topic.ROOT, Level.REFUSED, Code.NO_ROOT)
        return
    if not known.has_bundle:
        yield CheckFinding(Topic.ROOT, Level.WARNING, Code.NO_BUNDLE, {"root": known.root})
    elif known.listed is None:
        yield CheckFinding(Topic.ROOT, Level.REFUSED, Code.NOT_LISTED, {"root": known.root})
    elif known.listed.kind is not known.kind:
        yield CheckFinding(Topic.ROOT, Level.REFUSED, Code.OTHER_KIND, {"kind": known.listed.kind.value})
    if area is None:
        return
    here = [each for each in known.asked if each.area.bounds.touches(area.bounds)]
    if any(each.answered for each in here):
        yield CheckFinding(Topic.ROOT, Level.GOOD, Code.DOORS_ANSWERED, {"root": known.root})
    else:
        yield CheckFinding(Topic.ROOT, Level.UNKNOWN, Code.NO_DOOR_ANSWERED, {"root": known.root, "asked": len(here)})


# Probes: a request that is sound in all but the judged part


def _any_area(known: Known) -> Area:
    """Returns an area that is within the limits, so that only another part can be over one."""
    fitting_m2 = max(known.limits.area_min_m2 * 1.1, min(known.limits.area_max_m2 * 0.9, 125_000))
    # At the equator, because the limits look at the size alone.
    return Circle(lat=0, lon=0, radius_m=round((fitting_m2 / 3.14159) ** 0.5))


def _probe(
    area: Area,
    now_s: int,
    from_s: int | None = None,
    to_s: int | None = None,
    not_after_s: int | None = None,
    retention_days: int | None = None,
) -> FootageRequest:
    return RequestDraft(
        area=area,
        from_s=now_s - 2 * _HOUR_S if from_s is None else from_s,
        to_s=now_s - _HOUR_S if to_s is None else to_s,
        not_after_s=now_s + _DAY_S if not_after_s is None else not_after_s,
        case="probe",
        incident=Incident.OTHER,
        description="probe",
        contact=Contact(name="probe", phone="0000"),
        retention_days=1 if retention_days is None else retention_days,
        onward=Onward(to=()),
        language="en",
    ).request(requester="probe", kind=Kind.POLICE, trust_root="0" * 16, id="0" * 32, reply=_ANY_RECIPIENT)


def _over_limit(topic: Topic, over: OverLimit, **values: object) -> CheckFinding:
    return CheckFinding(topic, Level.REFUSED, Code.OVER_LIMIT, {"over": over, **values})
