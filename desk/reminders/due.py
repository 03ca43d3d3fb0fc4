"""Collects what ends soon in an organisation: requests, footage, tips, the certificate for the broker, and keys.

Each reminder belongs to the people who can act on it (`Reminder.action`).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from agent.clients.requester.roots import KnownRoots
from agent.errors import DoorwardError
from agent.platform import files
from desk.asking.models import Draft
from desk.cases.models import Answer
from desk.people.models import GuardedChange, Organisation
from desk.people.organisations import folder_of, requester_of
from desk.people.permissions import Action
from desk.tips.models import Tip
from desk.trust import bundles

__all__ = ["Reminder", "due_reminders"]

_DAY_S: Final = 86_400
REQUEST_DAYS: Final = 2
FOOTAGE_DAYS: Final = 7
CERTIFICATE_DAYS: Final = 30
KEY_DAYS: Final = 60
_PEM_LIMIT_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Reminder:
    """One line: what ends, where to look, and who can act. `keys`: names of the things, so that each is mailed once."""

    words: str
    address: str
    action: Action
    keys: tuple[str, ...]
    is_over: bool = False


def due_reminders(organisation: Organisation, now: datetime.datetime) -> list[Reminder]:
    """Returns the reminders in the order in which a person should look at them."""
    dated = (_requests, _footage, _certificate, _listed_key, _root_keys)
    return [
        *_approvals(organisation),
        *_confirmations(organisation),
        *(each for find in dated for each in find(organisation, now)),
    ]


def _approvals(organisation: Organisation) -> Iterator[Reminder]:
    waiting = Draft.objects.filter(organisation=organisation, state="submitted").values_list("pk", flat=True)
    if waiting:
        words = ngettext("%(count)d request waits for approval.", "%(count)d requests wait for approval.", len(waiting))
        yield _counted(words, "asking:requests", Action.APPROVE_REQUESTS, "approval", waiting)


def _confirmations(organisation: Organisation) -> Iterator[Reminder]:
    waiting = GuardedChange.objects.filter(organisation=organisation, state="waits").values_list("pk", flat=True)
    if waiting:
        words = ngettext(
            "%(count)d change of roles or rules waits for a second person.",
            "%(count)d changes of roles or rules wait for a second person.",
            len(waiting),
        )
        yield _counted(words, "people:confirmations", Action.CONFIRM_CHANGES, "change", waiting)


def _requests(organisation: Organisation, now: datetime.datetime) -> Iterator[Reminder]:
    now_s = int(now.timestamp())
    open_ones = Draft.objects.filter(organisation=organisation, state__in=("signed", "published"))
    ending = open_ones.filter(not_after_s__gt=now_s, not_after_s__lte=now_s + REQUEST_DAYS * _DAY_S)
    found = ending.values_list("request_id", flat=True)
    if found:
        words = ngettext(
            "%(count)d request ends within two days. Doors cannot answer after it.",
            "%(count)d requests end within two days. Doors cannot answer after that.",
            len(found),
        )
        yield _counted(words, "asking:requests", Action.WRITE_REQUESTS, "request", found)


def _footage(organisation: Organisation, now: datetime.datetime) -> Iterator[Reminder]:
    until = now + datetime.timedelta(days=FOOTAGE_DAYS)
    answers = Answer.objects.filter(case__organisation=organisation, case__legal_hold=False, due_at__lte=until)
    found = answers.exclude(state="deleted").values_list("disclosure_id", flat=True)
    if found:
        words = ngettext(
            "The footage of %(count)d answer is deleted within seven days.",
            "The footage of %(count)d answers is deleted within seven days.",
            len(found),
        )
        reminder = _counted(words, "cases:cases", Action.MANAGE_RETENTION, "answer", found)
        yield Reminder(reminder.words, f"{reminder.address}?footage=ending", reminder.action, reminder.keys)
    tips = Tip.objects.filter(organisation=organisation, deleted_at=None, legal_hold=False, due_at__lte=until)
    ending = tips.exclude(case__legal_hold=True).values_list("disclosure_id", flat=True)
    if ending:
        words = ngettext(
            "%(count)d tip is deleted within seven days.", "%(count)d tips are deleted within seven days.", len(ending)
        )
        yield _counted(words, "tips:inbox", Action.MANAGE_RETENTION, "tip", ending)


def _certificate(organisation: Organisation, now: datetime.datetime) -> Iterator[Reminder]:
    path = folder_of(organisation) / "tls" / "certificate.pem"
    try:
        data = files.read_if_there(path, _PEM_LIMIT_BYTES)
        until = x509.load_pem_x509_certificate(data).not_valid_after_utc if data else None
    except (DoorwardError, ValueError):
        return  # the page of the organisation says what is wrong
    if until is None or until > now + datetime.timedelta(days=CERTIFICATE_DAYS):
        return
    is_over = until <= now
    words = (
        _("The certificate for the broker has ended on %(day)s. Nothing arrives until there is a new one.")
        if is_over
        else _("The certificate for the broker ends on %(day)s. Send a new signing request to the broker's operator.")
    )
    yield _dated(words, until, "people:organisation", Action.MANAGE_ORGANISATION, "certificate", is_over=is_over)


def _listed_key(organisation: Organisation, now: datetime.datetime) -> Iterator[Reminder]:
    """Yields a reminder if the root's list of requesters stops listing the organisation soon."""
    try:
        roots = KnownRoots(requester_of(organisation))
        if organisation.trust_root not in roots.ids():
            return
        until_s = roots.listed_until_s(organisation.trust_root)
    except DoorwardError:
        return  # likewise
    now_s = int(now.timestamp())
    if until_s > now_s + KEY_DAYS * _DAY_S:
        return
    until, is_over = datetime.datetime.fromtimestamp(until_s, datetime.UTC), until_s <= now_s
    words = (
        _("Your root listed your key until %(day)s. Doors refuse your requests until you import its next bundle.")
        if is_over
        else _("Your root lists your key until %(day)s only. Ask it for its next bundle.")
    )
    yield _dated(words, until, "people:organisation", Action.MANAGE_ORGANISATION, "bundle", is_over=is_over)


def _root_keys(organisation: Organisation, now: datetime.datetime) -> Iterator[Reminder]:
    """Yields a reminder if the organisation is a root, and keys of its list end soon."""
    current = bundles.newest_signed(organisation)
    if current is None:
        return
    ending = bundles.reminders(bundles.entries_in(current.text)[1], int(now.timestamp()))
    if ending:
        words = ngettext(
            "The last key of %(count)d requester on your list ends within 60 days.",
            "The last keys of %(count)d requesters on your list end within 60 days.",
            len(ending),
        )
        names = [f"{each.requester} {each.until_s}" for each in ending]
        yield _counted(words, "trust:bundles", Action.SIGN_TRUST, "listed", names)


def _counted(words: str, page: str, action: Action, kind: str, names: Iterable[object]) -> Reminder:
    keys = tuple(f"{kind} {name}" for name in names)
    return Reminder(words % {"count": len(keys)}, reverse(page), action, keys)


def _dated(words: str, until: datetime.datetime, page: str, action: Action, kind: str, *, is_over: bool) -> Reminder:
    key = f"{kind} {until:%Y-%m-%d}{' over' if is_over else ''}"
    return Reminder(words % {"day": until.date().isoformat()}, reverse(page), action, (key,), is_over)
