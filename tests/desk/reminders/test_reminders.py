"""Reminders on the first page and by mail: who reads what, each thing once, and nothing that a mail should not hold."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from django.test import override_settings
from django.utils import timezone

from agent.clients.broker.broker_pki import BrokerPki
from agent.errors import StorageError
from desk.asking.models import Draft
from desk.cases.models import Answer, Case
from desk.config import DeskConfig, Mail, cross_field_errors
from desk.custody.models import Entry
from desk.people import confirmations, organisations
from desk.people.models import Organisation
from desk.people.roles import Role
from desk.reminders import mailer
from desk.reminders.due import Reminder, due_reminders
from desk.reminders.mailer import mail_reminders, reminder_mailer
from desk.reminders.models import SentReminder
from desk.tips.models import Tip
from tests.desk.agencies import Agency
from tests.desk.asking.asking_desk import vouch
from tests.desk.test_matrix import answer, draft
from tests.receivers import Receiver, SmtpServer

HOUR = datetime.timedelta(hours=1)


def now() -> datetime.datetime:
    return timezone.now()


@pytest.fixture
def ending(agency: Agency) -> Agency:
    """A request, an answer and a tip that end soon."""
    made = draft(agency)
    Draft.objects.filter(pk=made["pk"]).update(
        state="published", request_id="a" * 32, not_after_s=int((now() + 30 * HOUR).timestamp())
    )
    pk = answer(agency)["answer_pk"]
    Answer.objects.filter(pk=pk).update(due_at=now() + 48 * HOUR)
    Tip.objects.create(organisation=agency.organisation, disclosure_id="b" * 32, due_at=now() + 48 * HOUR)
    return agency


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer(Receiver()) as found:
        mail = Mail(host="127.0.0.1", port=found.port, tls="none", sender="desk@rijnstad.example")
        with override_settings(DESK=DeskConfig(mail=mail)):
            yield found


def words_for(agency: Agency, role: Role) -> str:
    page = agency.client(role).get("/").content.decode()
    return page.partition('id="soon"')[2].partition("</section>")[0]


def test_each_role_reads_what_it_can_act_on(ending: Agency) -> None:
    assert "1 request ends within two days" in words_for(ending, Role.ASKER)
    officer = words_for(ending, Role.EVIDENCE_OFFICER)
    assert "The footage of 1 answer is deleted within seven days." in officer
    assert "1 tip is deleted within seven days." in officer
    assert "request" not in officer
    assert not words_for(ending, Role.VIEWER)
    supervisor = words_for(ending, Role.SUPERVISOR)
    assert "1 request ends" in supervisor
    assert "1 tip" in supervisor


def test_nothing_is_said_too_early_too_late_or_under_a_hold(ending: Agency) -> None:
    organisation = ending.organisation
    assert len(due_reminders(organisation, now())) == 3
    assert len(due_reminders(organisation, now() - datetime.timedelta(days=20))) == 0
    Case.objects.update(legal_hold=True)
    Tip.objects.update(legal_hold=True)
    Draft.objects.update(state="withdrawn")
    assert due_reminders(organisation, now()) == []


def test_a_request_that_waits_for_approval_is_said_to_a_supervisor(agency: Agency) -> None:
    Draft.objects.filter(pk=draft(agency)["pk"]).update(state="submitted")
    assert "1 request waits for approval." in words_for(agency, Role.SUPERVISOR)
    assert not words_for(agency, Role.ASKER)


def test_a_change_that_waits_is_said_to_those_who_may_confirm(agency: Agency) -> None:
    confirmations.give_roles(agency.organisation, agency.people[Role.ADMIN], agency.people[Role.VIEWER], ["asker"])
    assert "1 change of roles or rules waits" in words_for(agency, Role.SUPERVISOR)
    assert "change" not in words_for(agency, Role.AUDITOR)


def test_a_certificate_and_a_listing_that_end_are_said_to_the_admin(agency: Agency, tmp_path: Path) -> None:
    vouch(agency)  # the list ends after 30 days
    assert "Your root lists your key until" in words_for(agency, Role.ADMIN)
    over = due_reminders(agency.organisation, now() + datetime.timedelta(days=31))
    assert [each.is_over for each in over] == [True]
    request = organisations.certificate_request(agency.organisation)
    pki = BrokerPki.create(tmp_path / "broker", now())
    signed = pki.add_requester("rijnstad-police", now(), request=request)
    tls = organisations.folder_of(agency.organisation) / "tls"
    (tls / "certificate.pem").write_bytes(signed.certificate.read_bytes())
    assert "certificate" not in words_for(agency, Role.ADMIN)
    for days in (20, 4000):
        later = due_reminders(agency.organisation, _end_of(tls) - datetime.timedelta(days=20 if days == 20 else -1))
        (said,) = [each for each in later if each.keys[0].startswith("certificate")]
        assert said.is_over is (days == 4000)
    (tls / "certificate.pem").write_bytes(b"damaged")
    assert due_reminders(agency.organisation, now())


def _end_of(tls: Path) -> datetime.datetime:
    return x509.load_pem_x509_certificate((tls / "certificate.pem").read_bytes()).not_valid_after_utc


def test_a_mail_says_what_ends_once_and_names_no_one(ending: Agency, server: SmtpServer) -> None:
    sent = mail_reminders(now())
    assert sent == len(server.receiver.messages) == 3  # the asker, the supervisor, the evidence officer
    case = Case.objects.latest("pk")
    for raw in server.receiver.raw:
        text = raw.decode()
        for secret in (case.number, "a" * 32, "b" * 32, ending.organisation.name, "52.09", "burglary"):
            assert secret not in text
    bodies = [body for _, _, body in server.receiver.messages]
    assert any("1 tip is deleted within seven days." in body for body in bodies)
    assert all("/requests/" in body or "/cases/" in body for body in bodies)
    assert Entry.objects.filter(action="reminder.mailed").count() == 3
    assert mail_reminders(now()) == 0
    assert mail_reminders(now() + 21 * HOUR) == 0, "nothing is new"
    Tip.objects.create(organisation=ending.organisation, disclosure_id="c" * 32, due_at=now() + 48 * HOUR)
    assert mail_reminders(now() + HOUR) == 0, "one mail a day"
    assert mail_reminders(now() + 21 * HOUR) == 2


def test_a_mail_is_in_the_language_of_its_reader(ending: Agency, server: SmtpServer) -> None:
    person = ending.people[Role.ASKER]
    person.language = "nl"
    person.save()
    mail_reminders(now())
    assert any("eindigt binnen twee dagen" in body for _, _, body in server.receiver.messages)


def test_a_server_that_refuses_is_tried_again(ending: Agency, server: SmtpServer) -> None:
    server.receiver.refuses = True
    assert mail_reminders(now()) == 0
    assert not SentReminder.objects.exists()
    assert not Entry.objects.filter(action="reminder.mailed").exists()
    server.receiver.refuses = False
    assert mail_reminders(now()) == 3


def test_a_damaged_file_of_one_organisation_keeps_no_mail_from_the_others(
    ending: Agency, other_agency: Agency, server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = other_agency.organisation

    def due(organisation: Organisation, at: datetime.datetime) -> list[Reminder]:
        if organisation == damaged:
            raise StorageError("A file cannot be read.")
        return due_reminders(organisation, at)

    monkeypatch.setattr(mailer, "due_reminders", due)
    monkeypatch.setattr(Organisation._meta, "ordering", ("-pk",))
    assert next(iter(Organisation.objects.all())) == damaged
    assert mail_reminders(now()) == 3


def test_the_service_mails_while_it_runs_and_not_without_a_server(ending: Agency, server: SmtpServer) -> None:
    with override_settings(DESK=DeskConfig()), reminder_mailer(every_s=0.01):
        pass
    assert server.receiver.attempts == 0
    with reminder_mailer(every_s=0.05):
        deadline = time.monotonic() + 60
        while len(server.receiver.messages) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert len(server.receiver.messages) == 3


@pytest.mark.parametrize(
    ("mail", "faults"),
    [
        (Mail(), 0),
        (Mail(host="mail.example", sender="desk@example.org"), 0),
        (Mail(host="mail.example"), 1),
        (Mail(host="mail.example", sender="desk@example.org", tls="none"), 1),
        (Mail(host="127.0.0.1", sender="desk@example.org", tls="none"), 0),
    ],
)
def test_a_mail_goes_out_in_the_clear_to_this_computer_only(mail: Mail, faults: int) -> None:
    assert len(list(cross_field_errors(DeskConfig(mail=mail)))) == faults
