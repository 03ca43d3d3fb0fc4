"""The notices of neighbours that everybody may read: published, in force, and not hidden by a report.

Each page, feed and file comes from the signed notice, as with bulletins (`published`).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Final

import structlog
from django.db.models import QuerySet

from agent.errors import DoorwardError
from agent.wire import envelope, strictjson
from agent.wire.identities import PublicKey
from agent.wire.messages import Bulletin
from desk.neighbourhood.models import Submission
from desk.neighbourhood.published import PublishedBulletin
from desk.people.models import Organisation
from desk.people.organisations import requester_of

__all__ = ["MOST", "current", "find"]

MOST: Final = 100
_log: Final = structlog.get_logger(__name__)


def current(organisation: Organisation, now: datetime.datetime) -> list[PublishedBulletin]:
    """Returns the notices of a neighbourhood, the newest first."""
    return list(_verified(organisation, _in_force(organisation, now)[:MOST]))


def find(organisation: Organisation, now: datetime.datetime, notice: str) -> PublishedBulletin | None:
    """Returns the notice with that id if it is shown."""
    return next(_verified(organisation, _in_force(organisation, now).filter(message_id=notice)), None)


def _in_force(organisation: Organisation, now: datetime.datetime) -> QuerySet[Submission]:
    shown = Submission.objects.filter(organisation=organisation, kind="notice", state="published", hidden=False)
    return shown.filter(until_s__gt=int(now.timestamp())).order_by("-decided_at", "-pk")


def _verified(organisation: Organisation, rows: QuerySet[Submission]) -> Iterator[PublishedBulletin]:
    requester = None  # opened once: anyone may ask for this page, again and again
    for row in rows:
        try:
            requester = requester or requester_of(organisation)
            yield _verify(row, organisation, requester.key)
        except DoorwardError as error:  # the others are shown; the operator reads why this one is not
            _log.warning("notice_hidden", notice=row.message_id, error=str(error))


def _verify(row: Submission, organisation: Organisation, key: PublicKey) -> PublishedBulletin:
    data = bytes(row.signed)
    opened = envelope.open_envelope(data, Bulletin.PAYLOAD_TYPE, {key.id: key})
    message = strictjson.decode(opened.payload, Bulletin)
    signed_at = row.decided_at or datetime.datetime.fromtimestamp(row.written_hour * 3600, datetime.UTC)
    return PublishedBulletin(organisation, message, data, signed_at)
