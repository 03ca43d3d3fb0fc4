"""The bulletins that everybody may read: those that are signed and whose last moment is still to come.

Each page, feed and file comes from the signed message, not from what the database says beside it. A row that is changed
in the database therefore changes no word here.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import structlog
from django.db.models import QuerySet

from agent.clients.requester import messages
from agent.clients.requester.identity import Requester
from agent.errors import DoorwardError
from agent.wire import envelope, strictjson
from agent.wire.messages import Bulletin as SignedBulletin
from desk.people.models import Organisation
from desk.people.organisations import requester_of
from desk.tips.models import Bulletin

__all__ = ["MOST", "PublishedBulletin", "current", "find"]

MOST: Final = 200
"""The most bulletins on the page and in the feed, the newest first."""
_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PublishedBulletin:
    """One bulletin, verified under the key of its organisation."""

    organisation: Organisation
    message: SignedBulletin
    envelope: bytes
    signed_at: datetime.datetime
    """By the desk's clock. The message itself states only its end."""

    @property
    def until(self) -> datetime.datetime:
        """Returns the moment from which doors and this page hide it."""
        return datetime.datetime.fromtimestamp(self.message.not_after_s, datetime.UTC)


def current(now: datetime.datetime, requester_id: str = "") -> list[PublishedBulletin]:
    """Returns the bulletins in force, the newest first, of all organisations or of the named one."""
    found = _in_force(now)
    if requester_id:
        found = found.filter(organisation__requester_id=requester_id)
    return list(_verified(found[:MOST]))


def find(now: datetime.datetime, bulletin_id: str) -> PublishedBulletin | None:
    """Returns the bulletin with that id if it is in force."""
    return next(_verified(_in_force(now).filter(bulletin_id=bulletin_id)), None)


def _in_force(now: datetime.datetime) -> QuerySet[Bulletin]:
    signed = Bulletin.objects.exclude(bulletin_id="").filter(not_after_s__gt=int(now.timestamp()))
    return signed.select_related("organisation").order_by("-published_at", "-pk")


def _verified(rows: Iterable[Bulletin]) -> Iterator[PublishedBulletin]:
    requesters: dict[int, Requester] = {}  # opened once: anyone may ask for this page, again and again
    for row in rows:
        try:
            if row.organisation_id not in requesters:
                requesters[row.organisation_id] = requester_of(row.organisation)
            yield _verify(row, requesters[row.organisation_id])
        except DoorwardError as error:  # the others are shown; the operator reads why this one is not
            _log.warning("bulletin_hidden", bulletin=row.bulletin_id, error=str(error))


def _verify(row: Bulletin, requester: Requester) -> PublishedBulletin:
    data = messages.signed(requester, row.bulletin_id).envelope
    opened = envelope.open_envelope(data, SignedBulletin.PAYLOAD_TYPE, {requester.key.id: requester.key})
    message = strictjson.decode(opened.payload, SignedBulletin)
    return PublishedBulletin(row.organisation, message, data, row.published_at or row.written_at)
