"""Carries sealed tips from browsers to the inboxes of the organisations, without reading or linking them.

Each tip has the same size and waits until its hour ends. Then the tips of the hour go on together, in the order of
their random ids, so the inbox shows the hour and not the minute. Words about the design: docs/decisions/0046.
"""

from __future__ import annotations

import time
from typing import Final

import structlog
from django.db import transaction

from agent.clients.requester.incoming_tips import store_sealed_tip
from agent.errors import DoorwardError, RequestError
from desk.neighbourhood.models import WaitingTip
from desk.people.models import Organisation
from desk.people.organisations import requester_of
from desk.periodic import PeriodicThread
from desk.tips.inbox import note_arrival
from desk.tips.models import Tip

__all__ = ["PADDED_BYTES", "SEALED_BYTES", "is_full", "release", "take", "tip_relay", "waiting"]

SEALED_BYTES: Final = 18_043
"""Size of each sealed tip: `PADDED_BYTES` of JSON and spaces in an age file with one hybrid recipient."""
PADDED_BYTES: Final = 16_384
MOST_WAITING: Final = 500
"""The most tips for one organisation in an hour. The next is refused with words, so that no accepted one is lost."""
HOUR_S: Final = 3600
_EVERY_S: Final = 20.0
_AGE: Final = b"age-encryption.org/v1\n"
_log: Final = structlog.get_logger(__name__)


def waiting(organisation: Organisation, now_s: int) -> int:
    """Returns the number of tips of this hour that wait for the organisation."""
    return WaitingTip.objects.filter(organisation=organisation, hour=now_s // HOUR_S).count()


def is_full(organisation: Organisation, now_s: int) -> bool:
    """Returns True if no further tip is taken in this hour."""
    return waiting(organisation, now_s) >= MOST_WAITING


@transaction.atomic
def take(organisation: Organisation, tip: str, sealed: bytes, now_s: int) -> None:
    """Keeps a sealed tip until its hour ends. A tip that is here already stays as it is.

    Raises `RequestError` if it is no sealed tip, or if the hour is full.
    """
    if len(sealed) != SEALED_BYTES or not sealed.startswith(_AGE):
        raise RequestError("This is not a sealed tip of this page.", remedy="Load the page again.")
    if Tip.objects.filter(disclosure_id=tip).exists() or WaitingTip.objects.filter(tip=tip).exists():
        return  # the same browser asks again, because it did not hear the answer
    if is_full(organisation, now_s):
        raise RequestError("Too many tips came in this hour.", remedy="Try again in the next hour.")
    WaitingTip.objects.create(organisation=organisation, tip=tip, hour=now_s // HOUR_S, sealed=sealed)


def release(now_s: int) -> int:
    """Moves the tips of past hours into the inboxes. Returns their number. A crash at any point repeats a step.

    A tip that cannot be moved, for example because its organisation's folder is damaged, waits; the others go on.
    """
    moved = 0
    for row in WaitingTip.objects.filter(hour__lt=now_s // HOUR_S).select_related("organisation"):
        try:
            _release(row)
            moved += 1
        except DoorwardError as error:
            _log.warning("tip_waits", organisation=row.organisation.requester_id, error=str(error))
    return moved


def _release(row: WaitingTip) -> None:
    store_sealed_tip(requester_of(row.organisation), row.tip, bytes(row.sealed), (row.hour + 1) * HOUR_S * 1000)
    with transaction.atomic():
        note_arrival(row.organisation, row.tip)
        row.delete()


def tip_relay(every_s: float = _EVERY_S) -> PeriodicThread:
    """Returns the thread that releases tips."""
    return PeriodicThread("tip-relay", lambda: release(int(time.time())), every_s=every_s)
