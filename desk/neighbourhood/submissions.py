"""Requests and notices of neighbours on their way to the moderators. Everybody may write one, without an account.

- A neighbour's browser makes a key and a token from one random seed. The desk gets the recipient of the key and the
  hash of the token. So the neighbour alone reads what becomes of the submission, and opens the answers.
- Each submission costs computing (`proof_of_work`). At most `MOST_WAITING` wait in a neighbourhood, so a flood fills
  the list and reaches no door.
- A request has tighter limits than those of doors: place, time and life of a neighbour's question are small.
- The centre of the area is a place of a coarse grid (`coarse`), because people write the place of their own door.
- Text only: pictures, links and fields for the description of a person are left out.

Decision: docs/decisions/0066.
"""

from __future__ import annotations

import hashlib
import time
from typing import Annotated, Final, Literal

import msgspec
import structlog
from django.db import transaction

from agent.clients.requester.roots import KnownRoots
from agent.core.vault.age.recipients import parse_recipient
from agent.errors import DoorwardError, FormatError, RequestError
from agent.wire.area import Circle, e7
from agent.wire.fields import Incident, Kind, check_text, clean_text
from agent.wire.messages import MAX_DESCRIPTION_CHARACTERS, MAX_TITLE_CHARACTERS
from agent.wire.strictjson import PreparedMeta
from desk.asking.shapes import area_from_json, area_to_json
from desk.neighbourhood.models import NoticeReport, Submission
from desk.people.models import Organisation
from desk.people.organisations import requester_of
from desk.periodic import PeriodicThread

__all__ = [
    "INCIDENTS",
    "LONGEST_WINDOW_S",
    "MOST_BYTES",
    "MOST_WAITING",
    "PLACE_STEP_E7",
    "RADII_M",
    "Reported",
    "Written",
    "appeal",
    "coarse",
    "find",
    "forget_due",
    "neighbour_clock",
    "report",
    "take",
    "waiting",
]

MOST_BYTES: Final = 8 * 1024
MOST_WAITING: Final = 200
"""The most submissions of a neighbourhood that wait for its moderators. The next is refused with words."""
MOST_REPORTS: Final = 20
"""The most open reports of one notice. More say nothing new to a moderator."""
INCIDENTS: Final = (
    Incident.PARCEL_THEFT,
    Incident.MISSING_PERSON,
    Incident.LOST_PET,
    Incident.THEFT,
    Incident.VANDALISM,
    Incident.VEHICLE_CRIME,
    Incident.TRAFFIC,
    Incident.OTHER,
)
RADII_M: Final = (150, 200, 300, 400)
LONGEST_WINDOW_S: Final = 6 * 3600
SHORTEST_WINDOW_S: Final = 900
LOOK_BACK_S: Final = 7 * 86_400
PLACE_STEP_E7: Final = 10_000
"""Step of the grid of places, in 1e-7 degrees: 111 m from north to south, at 52 degrees 68 m from west to east. So a
place moves by at most 66 m there, and stays within the smallest circle."""
_E7: Final = 10_000_000
_WAITS_S: Final = 7 * 86_400
"""Time after which a submission that no moderator has decided about is forgotten."""
ENDED_S: Final = 14 * 86_400
"""Time for which a decided submission stays, so that its neighbour reads the reason and may appeal."""
HOUR_S: Final = 3600
_EVERY_S: Final = 600.0
_log: Final = structlog.get_logger(__name__)
_Hex64 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Written(msgspec.Struct, metaclass=PreparedMeta, frozen=True, forbid_unknown_fields=True):
    """A submission as a neighbour's browser sends it. The area is a circle around `lat`, `lon`, which are coarse."""

    kind: Literal["request", "notice"]
    token_sha256: _Hex64
    language: Literal["en", "nl"]
    description: Annotated[str, msgspec.Meta(max_length=MAX_DESCRIPTION_CHARACTERS)]
    lat: Annotated[float, msgspec.Meta(ge=-80, le=80)]
    lon: Annotated[float, msgspec.Meta(ge=-180, le=180)]
    radius_m: int
    title: Annotated[str, msgspec.Meta(max_length=MAX_TITLE_CHARACTERS)] = ""
    incident: str = ""
    from_s: int = 0
    to_s: int = 0
    reply: Annotated[str, msgspec.Meta(max_length=2100)] = ""


def waiting(organisation: Organisation) -> int:
    """Returns the number of submissions that the moderators have not decided about."""
    return Submission.objects.filter(organisation=organisation, state__in=("waiting", "seconded")).count()


def take(organisation: Organisation, data: bytes, now_s: int) -> Submission:
    """Stores a submission for the moderators. The same one again changes nothing.

    Raises `RequestError` if it is unfit, or if too many wait.
    """
    made = _read(organisation, data, now_s)
    with transaction.atomic():
        Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)  # or two would take the last place
        known = Submission.objects.filter(token_sha256=made.token_sha256).first()
        if known is not None:
            return known  # the same browser asks again, because it did not hear the answer
        if waiting(organisation) >= MOST_WAITING:
            raise RequestError("Too much waits for the moderators.", remedy="Try again tomorrow.")
        made.save()
    return made


def _read(organisation: Organisation, data: bytes, now_s: int) -> Submission:
    try:
        written = msgspec.json.decode(data, type=Written)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError("This is no request or notice of this page.", remedy="Load the page again.") from error
    # The place is rounded by up to 66 m, so a smaller circle could miss the door that its writer means.
    if written.radius_m not in RADII_M:
        raise RequestError("This is no request or notice of this page.", remedy="Load the page again.")
    made = Submission(
        organisation=organisation,
        kind=written.kind,
        token_sha256=written.token_sha256,
        description=_plain("description", written.description, MAX_DESCRIPTION_CHARACTERS),
        language=written.language,
        written_hour=now_s // HOUR_S,
        until_s=now_s + _WAITS_S,
    )
    try:
        centre = Circle(lat=coarse(written.lat), lon=coarse(written.lon), radius_m=written.radius_m)
        made.area = area_to_json(centre)
    except FormatError as error:
        raise RequestError(error.message, remedy=error.remedy) from error
    if written.kind == "notice":
        made.title = _plain("title", written.title, MAX_TITLE_CHARACTERS)
    else:
        _read_request(made, written, now_s)
    return made


def coarse(degrees: float) -> float:
    """Returns the nearest degrees on the grid of places. The page of neighbours rounds before it sends, too."""
    return round(e7(degrees) / PLACE_STEP_E7) * PLACE_STEP_E7 / _E7


def _read_request(made: Submission, written: Written, now_s: int) -> None:
    if written.incident not in {each.value for each in INCIDENTS}:
        raise RequestError("This is no request or notice of this page.", remedy="Load the page again.")
    if not SHORTEST_WINDOW_S <= written.to_s - written.from_s <= LONGEST_WINDOW_S:
        raise RequestError("The time is too short or too long.", remedy="Ask about 15 minutes to 6 hours.")
    if not (now_s - LOOK_BACK_S <= written.from_s and written.to_s <= now_s):
        raise RequestError("The time is too long ago, or still to come.", remedy="Ask about the last 7 days.")
    try:
        parse_recipient(written.reply)
    except DoorwardError as error:
        raise RequestError("This is no request or notice of this page.", remedy="Load the page again.") from error
    if not written.reply.startswith("age1pq1"):
        raise RequestError("This is no request or notice of this page.", remedy="Load the page again.")
    _require_region(made, now_s)
    made.incident, made.from_s, made.to_s, made.reply = written.incident, written.from_s, written.to_s, written.reply


def _require_region(made: Submission, now_s: int) -> None:
    """Raises `RequestError` if all doors would refuse a request of this neighbourhood about that area."""
    organisation, area = made.organisation, area_from_json(made.area)
    try:
        KnownRoots(requester_of(organisation)).limits_for(organisation.trust_root, Kind(organisation.kind), area, now_s)
    except RequestError:
        raise
    except DoorwardError as error:  # its words name a place on the desk's disk
        _log.warning("neighbourhood_not_ready", organisation=organisation.requester_id, error=str(error))
        raise RequestError("This neighbourhood cannot ask doors now.", remedy="Try again tomorrow.") from error


def _plain(name: str, words: str, most: int) -> str:
    cleaned = clean_text(words)
    try:
        check_text(name, cleaned, most)
    except FormatError as error:
        raise RequestError("Write plain words, without links or hidden characters.") from error
    return cleaned


def find(organisation: Organisation, token: str) -> Submission | None:
    """Returns the submission with that token, for the neighbour who has it."""
    hashed = hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
    return Submission.objects.filter(organisation=organisation, token_sha256=hashed).first()


class Reported(msgspec.Struct, metaclass=PreparedMeta, frozen=True, forbid_unknown_fields=True):
    """A report as a reader's browser sends it. It names the notice, so that its work serves for no other."""

    notice: str
    reason: Annotated[str, msgspec.Meta(max_length=MAX_DESCRIPTION_CHARACTERS)]


@transaction.atomic
def report(notice: Submission, data: bytes, now_s: int) -> None:
    """Stores a reader's words about a notice. The first report hides the notice until a moderator has judged it.

    The same words again change nothing. Raises `RequestError` if the report is unfit.
    """
    try:
        sent = msgspec.json.decode(data, type=Reported)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError("This is no request or notice of this page.", remedy="Load the page again.") from error
    if sent.notice != notice.message_id:
        raise RequestError("This is no request or notice of this page.", remedy="Load the page again.")
    words = _plain("reason", sent.reason, MAX_DESCRIPTION_CHARACTERS)
    notice = Submission.objects.select_for_update(no_key=True).get(pk=notice.pk)
    if notice.reports.filter(reason=words).exists() or notice.reports.filter(state="open").count() >= MOST_REPORTS:
        return
    NoticeReport.objects.create(notice=notice, reason=words, reported_hour=now_s // HOUR_S)
    # Reports hide a notice once at most: after a moderator has judged it, a flood of reports removes it no more.
    if notice.reports_hide and notice.state == "published":
        notice.hidden = True
        notice.save(update_fields=["hidden"])


def appeal(submission: Submission, words: str) -> None:
    """Stores a neighbour's words against a rejection or removal. Raises `RequestError` if they come too late."""
    plain = _plain("appeal", words, MAX_DESCRIPTION_CHARACTERS)
    with transaction.atomic():
        row = Submission.objects.select_for_update(no_key=True).get(pk=submission.pk)
        if row.state not in ("rejected", "removed") or row.appeal_state:
            raise RequestError("Nothing can be appealed here.", remedy="Load the page again.")
        row.appeal, row.appeal_state = plain, "open"
        row.save(update_fields=["appeal", "appeal_state"])


def forget_due(now_s: int) -> int:
    """Deletes the submissions that have ended, with their words and reports. Returns their number."""
    due = Submission.objects.filter(until_s__lte=now_s).exclude(state="published", kind="notice")
    ended = Submission.objects.filter(state="published", kind="notice", until_s__lte=now_s - ENDED_S)
    return due.delete()[0] + ended.delete()[0]


def neighbour_clock(every_s: float = _EVERY_S) -> PeriodicThread:
    """Returns the thread that forgets what has ended."""
    return PeriodicThread("neighbour-clock", lambda: forget_due(int(time.time())), every_s=every_s)
