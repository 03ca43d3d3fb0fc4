"""Carries sealed tips from browsers to the inboxes of the organisations, without reading or linking them.

Each tip has the same size and waits until its hour ends, encrypted under a key of the hour. Then all tips of the hour
for an organisation are stored, in the order of their random ids. One transaction lists them and deletes their waiting
rows. The key is deleted some minutes later. So the inbox shows the hour and not the minute, and neither the database
nor its log leads from a tip to its waiting row. The design and its limits: docs/decisions/0046.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import structlog
from django.conf import settings
from django.db import transaction

from agent.clients.requester.incoming_tips import store_sealed_tip
from agent.errors import DoorwardError, RequestError
from desk.custody.answers import sealed_files
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
_SETTLES_S: Final = 60
"""Seconds after the end of an hour at which its tips go on. A row of the last second has waited for the database, and
one that came after the others went would go alone."""
_PATIENCE_S: Final = HOUR_S
"""Seconds that the tips of an hour wait for one of them that cannot be stored. A full disk should not split them."""
_KEY_STAYS_S: Final = 300
"""Seconds after the end of an hour at which its key goes. No tip of the hour is stored later than that."""
_AGE: Final = b"age-encryption.org/v1\n"
_log: Final = structlog.get_logger(__name__)
_told: Final[set[Path]] = set()
"""The damaged files that the log has named since the start of this process."""


def waiting(organisation: Organisation, now_s: int) -> int:
    """Returns the number of tips of this hour that wait for the organisation."""
    return WaitingTip.objects.filter(organisation=organisation, hour=now_s // HOUR_S).count()


def is_full(organisation: Organisation, now_s: int) -> bool:
    """Returns True if no further tip is taken in this hour."""
    return waiting(organisation, now_s) >= MOST_WAITING


@transaction.atomic
def take(organisation: Organisation, tip: str, sealed: bytes, now_s: int) -> None:
    """Keeps a sealed tip until its hour ends. A tip that is here already stays as it is.

    Raises `RequestError` if it is no sealed tip, or if the hour is full, and `StorageError` if no key can be stored.
    """
    if len(sealed) != SEALED_BYTES or not sealed.startswith(_AGE):
        raise RequestError("This is not a sealed tip of this page.", remedy="Load the page again.")
    Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)  # or two would take the last place
    keys, hour = HourKeys(settings.DATA), now_s // HOUR_S
    known = WaitingTip.objects.filter(code__in=keys.codes(tip))
    if Tip.objects.filter(disclosure_id=tip).exists() or known.exists():
        return  # the same browser asks again, because it did not hear the answer
    if is_full(organisation, now_s):
        raise RequestError("Too many tips came in this hour.", remedy="Try again in the next hour.")
    wrapped = keys.wrap(hour, tip, sealed)
    WaitingTip.objects.create(organisation=organisation, code=keys.code(hour, tip), hour=hour, wrapped=wrapped)


def release(now_s: int) -> int:
    """Moves the tips of past hours into the inboxes. Returns their number. A crash at any point repeats a step.

    A fault of one organisation's folder, or of the key of one hour, holds up no other organisation and no other hour.
    """
    keys, moved = HourKeys(settings.DATA), 0
    _tell(keys)
    # A minute late, so that a row of the last second of an hour goes with the others and not alone.
    due = WaitingTip.objects.filter(hour__lt=(now_s - _SETTLES_S) // HOUR_S)
    for hour, organisation in list(due.order_by("hour", "organisation").values_list("hour", "organisation").distinct()):
        moved += _release(keys, Organisation.objects.get(pk=organisation), hour, now_s)
    _forget_keys(keys, now_s)
    return moved


def _tell(keys: HourKeys) -> None:
    """Names each damaged file once."""
    for path in keys.damaged():
        if path not in _told:
            _told.add(path)
            _log.error("tip_key_damaged", file=str(path), lost="the tips of this hour that came before the damage")


def _release(keys: HourKeys, organisation: Organisation, hour: int, now_s: int) -> int:
    """Moves the tips of an hour to an organisation. Returns their number.

    A tip that cannot be stored, for example because the disk is full, keeps the others for `_PATIENCE_S`. Then they go,
    and it follows if it can.
    """
    opened, lost, waits = [], [], 0
    for row in WaitingTip.objects.filter(organisation=organisation, hour=hour):
        try:
            found = keys.unwrap(hour, bytes(row.wrapped))
        except DoorwardError as error:
            waits = _wait(organisation, waits, error)
        else:
            if found is None:
                lost.append(row.pk)
            else:
                opened.append((*found, row.pk))
    stored = []
    for tip, sealed, key in sorted(opened):  # by the random id, which says nothing about the order of arrival
        try:
            stored.append((tip, _store(organisation, hour, tip, sealed), key))
        except DoorwardError as error:
            waits = _wait(organisation, waits, error)
    if lost:  # rows of a restored database, for example: backups leave the keys out
        _log.warning("tips_without_key", organisation=organisation.requester_id, hour=hour, tips=len(lost))
        WaitingTip.objects.filter(pk__in=lost).delete()
    # All tips of an hour go together, because one that goes alone would show when it could be stored.
    if waits and now_s < (hour + 1) * HOUR_S + _PATIENCE_S:
        return 0
    try:
        _list(organisation, stored)
    except DoorwardError as error:
        _wait(organisation, waits, error)
        return 0
    return len(stored)


def _wait(organisation: Organisation, waits: int, error: DoorwardError) -> int:
    _log.warning("tip_waits", organisation=organisation.requester_id, error=str(error))
    return waits + 1


def _store(organisation: Organisation, hour: int, tip: str, sealed: bytes) -> dict[str, object]:
    """Stores a sealed tip. Returns what the custody log says about its files, and nothing if it is listed already."""
    # The end of the hour counts as its arrival, so that its file tells no minute.
    store_sealed_tip(requester_of(organisation), tip, sealed, (hour + 1) * HOUR_S * 1000)
    return {} if Tip.objects.filter(disclosure_id=tip).exists() else sealed_files(organisation, tip)


@transaction.atomic
def _list(organisation: Organisation, stored: list[tuple[str, dict[str, object], int]]) -> None:
    """Lists tips and deletes their waiting rows in one transaction.

    A transaction for each tip would say in the database's log which row became which tip, and an earlier one there says
    when the row came. No key of an hour is needed to read that.
    """
    for tip, about, _key in stored:
        note_arrival(organisation, tip, about)
    WaitingTip.objects.filter(pk__in=sorted(key for _tip, _about, key in stored)).delete()


def _forget_keys(keys: HourKeys, now_s: int) -> None:
    for hour in keys.hours():
        if now_s >= (hour + 1) * HOUR_S + _KEY_STAYS_S and not WaitingTip.objects.filter(hour=hour).exists():
            try:
                keys.forget(hour)
            except DoorwardError as error:
                _log.warning("tip_key_stays", hour=hour, error=str(error))


def tip_relay(every_s: float = _EVERY_S) -> PeriodicThread:
    """Returns the thread that releases tips."""
    return PeriodicThread("tip-relay", lambda: release(int(time.time())), every_s=every_s)
