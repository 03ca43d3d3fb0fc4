"""Limits the tries of a passphrase that seals a key of an organisation, as signing in limits passwords.

    take_try(organisation, person, "root key")      # before the passphrase is read; raises if there were too many
    forget_tries(organisation, person, "root key")  # after the right one

The custody log counts: each try is an entry before the passphrase is read, so tries at once, a second process and a
start of the desk count together. The right passphrase is refused as well, unread, until the time is over.
"""

from __future__ import annotations

import time
from typing import Final

from django.db import transaction
from django.utils.translation import gettext as _

from agent.errors import RequestError
from desk.custody import log
from desk.custody.models import Entry, LogHead
from desk.people.models import Organisation, Person

__all__ = ["MOST_TRIES", "WAIT_S", "forget_tries", "take_try"]

MOST_TRIES: Final = 5
WAIT_S: Final = 300
_TRIED: Final = "passphrase.tried"
_RIGHT: Final = "passphrase.right"
_LIMITED: Final = "passphrase.limited"


def take_try(organisation: Organisation, person: Person, key: str) -> None:
    """Counts one try of the passphrase of that key. Raises `RequestError` after five wrong ones in five minutes."""
    with transaction.atomic():
        # The row of the log's head makes tries at once come one after the other.
        LogHead.objects.select_for_update(no_key=True).filter(organisation=organisation).first()
        since_ms = (time.time_ns() // 1_000_000) - WAIT_S * 1000
        recent = Entry.objects.filter(organisation=organisation, object=key, at_ms__gt=since_ms)
        last_right = recent.filter(action=_RIGHT).order_by("-number").values_list("number", flat=True).first() or 0
        since_right = recent.filter(number__gt=last_right)
        is_over = since_right.filter(action=_TRIED).count() >= MOST_TRIES
        if not is_over:
            log.record(organisation, person, _TRIED, key)
        elif not since_right.filter(action=_LIMITED).exists():  # one entry, however long a program goes on
            log.record(organisation, person, _LIMITED, key, tries=MOST_TRIES)
    # Outside the transaction, which the error would undo with its entry.
    if is_over:
        raise RequestError(
            _("There were too many wrong passphrases."),
            remedy=_("Wait five minutes. If you did not try them, look into the custody log."),
        )


def forget_tries(organisation: Organisation, person: Person, key: str) -> None:
    """Notes that the passphrase was right, so that earlier tries count no more."""
    log.record(organisation, person, _RIGHT, key)
