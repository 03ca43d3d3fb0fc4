"""Keeps a tip for the days that its receipt promised, then deletes it. A legal hold of the tip or its case stops that.

A tip that was refused when it arrived, or never became whole, is in no inbox. It goes after a day, or after the days of
a tip.

The order is that of answers (`desk.cases.deletion`): files go before the row says so, in a transaction that holds the
case and the tip. A repeated deletion finds nothing and goes on.
"""

from __future__ import annotations

import functools

from django.db import transaction
from django.utils import timezone

from agent.clients.requester.identity import Requester
from agent.clients.requester.sealed_parts import PartsAwayError
from agent.errors import DoorwardError
from desk.cases.deadlines import utc
from desk.cases.deletion import RETENTION
from desk.cases.models import Case
from desk.cases.object_locks import unlock
from desk.cases.retention import DAY_S, AnswerClock, Countdown, countdown, latest_choice_s
from desk.custody import log
from desk.people.models import Organisation, Person
from desk.people.organisations import requester_of
from desk.tips.models import Tip

__all__ = ["delete_tip", "end_hold", "hold_tip", "start_clock", "tip_countdown", "tips_due"]


def start_clock(tip: Tip) -> None:
    """Sets the days and the date of deletion of a tip that has just arrived. The caller saves it."""
    promised = requester_of(tip.organisation).profile.retention_days  # the number in its receipt
    tip.retention_days = promised or tip.organisation.retention_days
    tip.due_at = utc(latest_choice_s(int(timezone.now().timestamp()), tip.retention_days))


def tip_countdown(tip: Tip, now_s: int) -> Countdown:
    clock = AnswerClock(tip.pk, int(tip.arrived_at.timestamp()), deleted=tip.deleted_at is not None)
    return countdown(clock, tip.retention_days, hold=tip.held, now_s=now_s)


def tips_due(organisation: Organisation, requester: Requester, now_s: int) -> int:
    """Deletes the tips whose days are over. Returns their number. One that fails keeps no other back; its error is
    raised at the end, and `PartsAwayError` at once."""
    done, failed = 0, None
    due = Tip.objects.filter(organisation=organisation, deleted_at=None, due_at__lte=utc(now_s), legal_hold=False)
    keys = list(due.exclude(case__legal_hold=True).values_list("pk", flat=True))
    steps = [functools.partial(delete_tip, organisation, requester, pk, RETENTION) for pk in keys]
    days = requester.profile.retention_days or organisation.retention_days
    lost = requester.answers.old_tips((now_s - DAY_S) * 1000, (now_s - days * DAY_S) * 1000)
    steps += [functools.partial(_delete_lost, organisation, requester, each, now_s) for each in lost]
    for step in steps:
        try:
            done += step()
        # Each further tip could wait for the store as long.
        except PartsAwayError:
            raise
        except DoorwardError as error:
            failed = failed or error
    if failed is not None:
        raise failed
    return done


@transaction.atomic
def _delete_lost(organisation: Organisation, requester: Requester, disclosure: str, now_s: int) -> bool:
    """Deletes the files of a tip that is in no inbox."""
    if Tip.objects.filter(organisation=organisation, disclosure_id=disclosure).exists():
        return False  # it is listed, and its clock runs
    count = requester.answer(disclosure).delete()
    requester.answers.deleted(disclosure, now_s * 1000)
    why = "it was refused, or never arrived as a whole"
    log.record(organisation, RETENTION, "tip.deleted", f"tip {disclosure}", reason=why, files=count)
    return True


def delete_tip(
    organisation: Organisation, requester: Requester, pk: int, actor: Person | str, reason: str = ""
) -> bool:
    """Deletes the files of a tip. Returns False if a legal hold or an earlier call came first.

    Raises `StorageError`, and changes no row, if a file cannot be deleted.
    """
    with transaction.atomic():
        tip = Tip.objects.select_for_update(no_key=True).get(pk=pk, organisation=organisation)
        if tip.case_id is not None:
            # A hold of the case comes before this deletion or after it, and not in its middle.
            tip.case = Case.objects.select_for_update(no_key=True).get(pk=tip.case_id)
        if tip.held or tip.deleted_at is not None:
            return False
        if tip.locked:
            unlock(organisation, tip)  # its hold has ended, and the clock has not come round yet
        count = requester.answer(tip.disclosure_id).delete()
        tip.deleted_at = timezone.now()
        tip.save(update_fields=("deleted_at",))
        requester.answers.deleted(tip.disclosure_id, round(tip.deleted_at.timestamp() * 1000))
        log.record(
            organisation,
            actor,
            "tip.deleted",
            f"tip {tip.disclosure_id}",
            case=tip.case.number if tip.case else None,
            reason=reason or "the days that its receipt promised have passed",
            files=count,
        )
    return True


def hold_tip(tip: Tip, person: Person, reason: str) -> bool:
    """Stops the deletion of a tip. Returns False if it is held or deleted already."""
    with transaction.atomic():
        held = Tip.objects.select_for_update(no_key=True).get(pk=tip.pk)
        if held.legal_hold or held.deleted_at is not None:
            return False
        held.legal_hold, held.hold_reason, held.hold_by, held.hold_at = True, reason, person, timezone.now()
        held.save(update_fields=("legal_hold", "hold_reason", "hold_by", "hold_at"))
        log.record(held.organisation, person, "tip.held", f"tip {held.disclosure_id}", reason=reason)
    return True


def end_hold(tip: Tip, person: Person, reason: str) -> bool:
    """Lets the clock of the tip go on. A tip past its date is deleted within a minute."""
    with transaction.atomic():
        held = Tip.objects.select_for_update(no_key=True).get(pk=tip.pk)
        if not held.legal_hold:
            return False
        held.legal_hold = False
        held.save(update_fields=("legal_hold",))
        log.record(held.organisation, person, "tip.hold-ended", f"tip {held.disclosure_id}", reason=reason)
    return True
