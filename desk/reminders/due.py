"""Collects what ends soon in an organisation: requests, footage, tips, the certificate for the broker, and keys.

Each reminder belongs to the people who can act on it (`Reminder.action`).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from agent.clients.requester.roots import KnownRoots
from agent.errors import DoorwardError
from desk.asking.models import Draft
from desk.cases.models import Answer
from desk.people.broker_certificates import certificates_for
from desk.people.models import GuardedChange, Organisation
from desk.people.organisations import broker_certificates, requester_of
from desk.people.permissions import Action
from desk.tips.models import Tip
from desk.trust import bundles, root_publisher, shared_root
from desk.trust.models import BundleDraft, Publication, RootDraft

__all__ = ["Reminder", "due_reminders"]

_DAY_S: Final = 86_400
REQUEST_DAYS: Final = 2
FOOTAGE_DAYS: Final = 7
KEY_DAYS: Final = 60
STAMP_DAYS: Final = 3


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
    dated = (_requests, _footage, _certificates, _listed_key, _root_news, _root_keys, _root_file, _root_brokers)
    return [
        *_approvals(organisation),
        *_confirmations(organisation),
        *_root_proposals(organisation),
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


def _certificates(organisation: Organisation, now: datetime.datetime) -> Iterator[Reminder]:
    """Yields a reminder for each certificate of the organisation that ends, one for every broker."""
    for each in broker_certificates(organisation):
        if each.until is None or not each.ends_soon(now):
            continue  # the page of the organisation says what is missing
        is_over = each.is_over(now)
        words = _broker_words(each.host if each.is_own else "", is_over=is_over)
        kind = f"certificate {each.host}" if each.host and each.is_own else "certificate"
        page, action = "people:organisation", Action.MANAGE_ORGANISATION
        yield _dated(words, each.until, page, action, kind, is_over=is_over, host=each.host)


def _broker_words(host: str, *, is_over: bool) -> str:
    """Returns the words about a certificate for one broker, or for every broker."""
    if host and is_over:
        return _("The certificate for the broker %(host)s has ended on %(day)s. Nothing arrives from there.")
    if host:
        return _("The certificate for the broker %(host)s ends on %(day)s. Send its operator a signing request.")
    if is_over:
        return _("The certificate for the broker has ended on %(day)s. Nothing arrives until there is a new one.")
    return _("The certificate for the broker ends on %(day)s. Send a new signing request to the broker's operator.")


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


def _root_news(organisation: Organisation, now: datetime.datetime) -> Iterator[Reminder]:
    """Yields a reminder if the package of the organisation's root has ended: a broker may hold newer ones back."""
    try:
        ends_s = KnownRoots(requester_of(organisation)).ends_s(organisation.trust_root)
    except DoorwardError:
        return  # likewise
    ends = datetime.datetime.fromtimestamp(ends_s, datetime.UTC)
    if ends_s and ends <= now:
        words = _(
            "Your root's news has ended on %(day)s. A broker may hold back a newer list. Ask the root for its package."
        )
        action = Action.MANAGE_ORGANISATION
        yield _dated(words, ends, "people:organisation", action, "root news", is_over=True)


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


def _root_proposals(organisation: Organisation) -> Iterator[Reminder]:
    """Yields a reminder of what the people of a root have to sign: keys, lists, and a list in force, again."""
    files = RootDraft.objects.filter(organisation=organisation, state="proposed").values_list("pk", flat=True)
    lists = BundleDraft.objects.filter(organisation=organisation, state="proposed").exclude(payload=b"")
    waiting = [f"keys {pk}" for pk in files] + [f"list {pk}" for pk in lists.values_list("pk", flat=True)]
    root_file, current = shared_root.newest_root(organisation), bundles.newest_signed(organisation)
    if root_file is not None and current is not None and current.payload and shared_root.missing_signatures(current):
        waiting.append(f"list {current.pk} for keys {root_file.pk}")
    if waiting:
        words = ngettext(
            "%(count)d proposal of the trust root waits for signatures.",
            "%(count)d proposals of the trust root wait for signatures.",
            len(waiting),
        )
        yield _counted(words, "trust:bundles", Action.SIGN_TRUST, "root signature", waiting)


def _root_file(organisation: Organisation, now: datetime.datetime) -> Iterator[Reminder]:
    """Yields reminders of a root of several keys: its keys end, or its statement that nothing newer was signed."""
    root_file = shared_root.root_file_of(organisation)
    if root_file is None:
        return
    ends = datetime.datetime.fromtimestamp(root_file.expires_s, datetime.UTC)
    if ends < now + datetime.timedelta(days=KEY_DAYS):
        is_over = ends <= now
        words = (
            _("The keys of the trust root have ended on %(day)s. Doors take no new list.")
            if is_over
            else _("The keys of the trust root end on %(day)s. Propose the next keys.")
        )
        yield _dated(words, ends, "trust:bundles", Action.SIGN_TRUST, "root file", is_over=is_over)
    stamped_s = root_publisher.stamped_until_s(organisation)
    stamped = datetime.datetime.fromtimestamp(stamped_s, datetime.UTC)
    if stamped_s and stamped < now + datetime.timedelta(days=STAMP_DAYS):
        is_over = stamped <= now
        words = (
            _("The trust root's news has ended on %(day)s: it was not published any more. Owners are warned.")
            if is_over
            else _("The trust root's news ends on %(day)s: the desk cannot publish it. See the page Trust.")
        )
        yield _dated(words, stamped, "trust:bundles", Action.SIGN_TRUST, "timestamp", is_over=is_over)
    if Publication.objects.filter(organisation=organisation, broker=root_publisher.NO_BROKER).exists():
        words = _("The desk cannot make the trust root's package, so it publishes nothing. See the page Trust.")
        yield Reminder(words, reverse("trust:bundles"), Action.SIGN_TRUST, ("root package",))


def _root_brokers(organisation: Organisation, now: datetime.datetime) -> Iterator[Reminder]:
    """Yields reminders of a root of several keys, for each broker: its certificate, and the age of its news there."""
    addresses = root_publisher.brokers_of(organisation) if shared_root.is_shared(organisation) else ()
    if not addresses:
        return
    folder, _name = root_publisher.connection_of(organisation)
    page, action = "trust:bundles", Action.SIGN_TRUST
    certificates = {each.host: each for each in certificates_for(folder, [each.host for each in addresses])}
    for each in certificates.values():
        kind = f"root certificate {each.host}"
        if each.by_password:
            continue
        if each.until is None:
            words = _("The trust root has no certificate that works for %(host)s. Send a signing request.")
            yield Reminder(words % {"host": each.host}, reverse(page), action, (f"{kind} missing",))
        elif each.ends_soon(now):
            words = _("The trust root's certificate for %(host)s ends on %(day)s. Send a new signing request.")
            yield _dated(words, each.until, page, action, kind, is_over=each.is_over(now), host=each.host)
    for late in root_publisher.late_brokers(organisation, now):
        kind, host = f"root news {late.address}", str(late.address)
        if late.since is not None:
            words = _("%(host)s has had no news of the trust root since %(day)s. See the page Trust.")
            is_over = late.since + datetime.timedelta(days=root_publisher.STAMP_DAYS) <= now
            yield _dated(words, late.since, page, action, kind, is_over=is_over, host=host)
        elif certificates[late.address.host].until is not None or certificates[late.address.host].by_password:
            words = _("%(host)s has no news of the trust root yet. See the page Trust.")
            yield Reminder(words % {"host": host}, reverse(page), action, (f"{kind} never",))


def _counted(words: str, page: str, action: Action, kind: str, names: Iterable[object]) -> Reminder:
    keys = tuple(f"{kind} {name}" for name in names)
    return Reminder(words % {"count": len(keys)}, reverse(page), action, keys)


def _dated(
    words: str, until: datetime.datetime, page: str, action: Action, kind: str, *, is_over: bool, host: str = ""
) -> Reminder:
    # With the day, so that the end of the next certificate is mailed again, and this one once more when it is over.
    key = f"{kind} {until:%Y-%m-%d}{' over' if is_over else ''}"
    return Reminder(words % {"day": until.date().isoformat(), "host": host}, reverse(page), action, (key,), is_over)
