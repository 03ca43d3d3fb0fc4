"""Carries sealed tips from browsers to the inboxes of the organisations, without reading or linking them.

Each tip has the same size and waits until its hour ends, encrypted under a key of the hour. Then the tips of the
hour go on together, in the order of their random ids, and the key is deleted. So the inbox shows the hour and not the
minute, and nothing that stays in the database leads from a tip to its moment. The design: docs/decisions/0046.
"""

from __future__ import annotations

import time
from typing import Final

import structlog
from django.conf import settings
from django.db import transaction

from agent.clients.requester.incoming_tips import store_sealed_tip
from agent.errors import DoorwardError, RequestError
from desk.neighbourhood.hour_keys import HourKeys
from desk.neighbourhood.models import WaitingTip
from desk.people.models import Organisation
from desk.people.organisations import requester_of
from desk.periodic import PeriodicThread
from desk.tips.inbox import note_arrival
from desk.tips.models import Tip

__all__ = ["SEALED_BYTES", "is_full", "release", "take", "tip_relay", "waiting"]

SEALED_BYTES: Final = 18_043
"""Size of each sealed tip: `TIP_PADDED_BYTES` of JSON and spaces in an age file with one hybrid recipient."""
MOST_WAITING: Final = 500
"""The most tips for one organisation in an hour. The next is refused with words, so that no accepted one is lost."""
HOUR_S: Final = 3600
_EVERY_S: Final = 20.0
_KEY_STAYS_S: Final = 300
"""Seconds after the end of an hour at which its key goes. No tip of the hour is stored later than that."""
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
    Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)  # or two would take the last place
    keys, hour = HourKeys(settings.DATA), now_s // HOUR_S
    codes = [keys.code(each, tip) for each in {*keys.hours(), hour}]
    if Tip.objects.filter(disclosure_id=tip).exists() or WaitingTip.objects.filter(code__in=codes).exists():
        return  # the same browser asks again, because it did not hear the answer
    if is_full(organisation, now_s):
        raise RequestError("Too many tips came in this hour.", remedy="Try again in the next hour.")
    wrapped = keys.wrap(hour, tip, sealed)
    WaitingTip.objects.create(organisation=organisation, code=keys.code(hour, tip), hour=hour, wrapped=wrapped)


def release(now_s: int) -> int:
    """Moves the tips of past hours into the inboxes. Returns their number. A crash at any point repeats a step.

    A tip that cannot be moved, for example because its organisation's folder is damaged, waits; the others go on.
    """
    keys, moved = HourKeys(settings.DATA), 0
    due = []
    for row in WaitingTip.objects.filter(hour__lt=now_s // HOUR_S).select_related("organisation"):
        found = keys.unwrap(row.hour, bytes(row.wrapped))
        if found is None:  # of a restored database, for example: backups leave the keys out
            _log.warning("tip_without_key", organisation=row.organisation.requester_id, hour=row.hour)
            row.delete()
        else:
            due.append((row.hour, *found, row))
    for _hour, tip, sealed, row in sorted(due, key=lambda each: each[:2]):
        try:
            _release(row, tip, sealed)
            moved += 1
        except DoorwardError as error:
            _log.warning("tip_waits", organisation=row.organisation.requester_id, error=str(error))
    _forget_keys(keys, now_s)
    return moved


def _release(row: WaitingTip, tip: str, sealed: bytes) -> None:
    store_sealed_tip(requester_of(row.organisation), tip, sealed, (row.hour + 1) * HOUR_S * 1000)
    with transaction.atomic():
        note_arrival(row.organisation, tip)
        row.delete()


def _forget_keys(keys: HourKeys, now_s: int) -> None:
    for hour in keys.hours():
        if now_s >= (hour + 1) * HOUR_S + _KEY_STAYS_S and not WaitingTip.objects.filter(hour=hour).exists():
            keys.forget(hour)


def tip_relay(every_s: float = _EVERY_S) -> PeriodicThread:
    """Returns the thread that releases tips."""
    return PeriodicThread("tip-relay", lambda: release(int(time.time())), every_s=every_s)
