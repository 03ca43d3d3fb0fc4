"""Mails reminders to the people who can act on them: counts and dates only, no name, no place, no case, no footage.

    with reminder_mailer():
        serve()

A mail lies on servers of others, so it says what ends and where to sign in, and nothing about whom it concerns. A
person gets a mail when there is something new, at most one in a day. A server that refuses is tried again later.
"""

from __future__ import annotations

import datetime
import smtplib
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import structlog
from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from agent.errors import DoorwardError
from desk.config import read_secret
from desk.custody import log
from desk.people.models import Organisation, Person
from desk.people.permissions import is_allowed, roles_in
from desk.periodic import PeriodicThread
from desk.reminders.due import Reminder, due_reminders
from desk.reminders.models import SentReminder

__all__ = ["mail_reminders", "reminder_mailer"]

_EVERY_S: Final = 600.0
_PAUSE: Final = datetime.timedelta(hours=20)
"""A person gets the next mail after this time, so about once a day and not later each day."""
_TIMEOUT_S: Final = 20
_log = structlog.get_logger(__name__)


def reminder_mailer(every_s: float = _EVERY_S) -> AbstractContextManager[object]:
    """Returns the thread of the mails. Without a server in desk.toml it does nothing."""
    if not settings.DESK.mail.host:
        return nullcontext()
    return PeriodicThread("reminders", lambda: mail_reminders(timezone.now()), every_s=every_s)


def mail_reminders(now: datetime.datetime) -> int:
    """Sends what is due. Returns the number of mails. A refused mail is logged, and tried again at the next call."""
    sent = 0
    for organisation in Organisation.objects.all():
        for person in Person.objects.filter(memberships__organisation=organisation).distinct():
            try:
                sent += _mail(organisation, person, now)
            except (smtplib.SMTPException, OSError, DoorwardError) as error:  # the others get their mails
                _log.warning("reminder not mailed", organisation=organisation.requester_id, error=str(error))
    return sent


def _mail(organisation: Organisation, person: Person, now: datetime.datetime) -> bool:
    before = SentReminder.objects.filter(organisation=organisation, person=person)
    if before.filter(sent_at__gt=now - _PAUSE).exists():
        return False
    with translation.override(person.language or organisation.language):
        roles = roles_in(organisation, person)
        shown = [each for each in due_reminders(organisation, now) if is_allowed(roles, each.action)]
        keys = {key for each in shown for key in each.keys}
        new = keys - set(before.values_list("key", flat=True))
        if not new:
            return False
        message = _message(person, shown)
    # Before the mail: a kill in between loses one mail, and the page says the same. A slow server holds no lock here.
    rows = SentReminder.objects.bulk_create(
        SentReminder(organisation=organisation, person=person, key=key) for key in sorted(new)
    )
    try:
        message.send()
    except (smtplib.SMTPException, OSError):
        SentReminder.objects.filter(pk__in=[row.pk for row in rows]).delete()
        raise
    log.record(organisation, "reminders", "reminder.mailed", person.email, reminders=len(shown))
    return True


def _message(person: Person, shown: list[Reminder]) -> EmailMessage:
    address = settings.DESK.address
    lines = [f"- {each.words}\n  {address}{each.address}" for each in shown]
    body = "\n".join(
        [
            _("At your desk for footage requests, something waits or ends soon:"),
            "",
            *lines,
            "",
            _("Sign in to see what it is about. This mail names no person, no case and no place."),
        ]
    )
    mail = settings.DESK.mail
    server = get_connection(
        "django.core.mail.backends.smtp.EmailBackend",
        host=mail.host,
        port=mail.port,
        username=mail.user or None,
        password=read_secret(mail.password_file) or None,
        use_tls=mail.tls == "starttls",
        use_ssl=mail.tls == "tls",
        timeout=_TIMEOUT_S,
    )
    return EmailMessage(
        _("Something waits or ends soon at your desk"), body, mail.sender, [person.email], connection=server
    )
