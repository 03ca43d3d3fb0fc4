"""Nothing that was ended or revoked after a backup works again after its restore."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from django.contrib.sessions.models import Session

from desk.api.models import ApiToken
from desk.api.tokens import find_token, make_token, revoke_token
from desk.cases.models import Case
from desk.cli import restored
from desk.custody.models import Entry
from desk.export import guests
from desk.export.models import GuestLink
from desk.people import members, one_time_links
from desk.people.models import Person
from desk.people.roles import Role
from desk.storage import shared_stores
from tests.desk.agencies import Agency, browser
from tests.desk.people.test_sign_in import is_signed_in, sign_in


def test_nothing_that_ended_after_the_backup_works_again(agency: Agency, monkeypatch: pytest.MonkeyPatch) -> None:
    organisation, admin = agency.organisation, agency.people[Role.ADMIN]
    officer = agency.people[Role.EVIDENCE_OFFICER]
    case = Case.objects.create(organisation=organisation, number="2026-1", created_by=officer)
    clips = [("a" * 32, 1)]
    link, guest = guests.make_link(case, officer, recipient="A. Court", party="court", days=7, clips=clips)
    token, text = make_token(organisation, admin, name="records", roles=[Role.EVIDENCE_OFFICER], days=90)
    invitation = members.invite(organisation, admin, "late@rijnstad.example", [Role.VIEWER])
    assert invitation is not None
    client = browser()
    sign_in(client, agency.people[Role.VIEWER])
    sessions = list(Session.objects.all())
    assert is_signed_in(client)
    guests.revoke_link(link, officer)
    revoke_token(token, admin)
    key = client.cookies["__Host-desk"].value
    client.post("/account/sign-out-everywhere")

    # The rows of a backup from before the end of each.
    Session.objects.bulk_create(sessions)
    Person.objects.update(sessions_valid_from=None)
    GuestLink.objects.update(revoked_at=None)
    ApiToken.objects.update(revoked_at=None)
    client.cookies["__Host-desk"] = key
    assert guests.find_link(guest)
    assert find_token(text)
    assert one_time_links.find_link(invitation)
    assert is_signed_in(client)

    monkeypatch.setattr("desk.cli.start_django", lambda: None)
    monkeypatch.setattr(shared_stores, "forget_servers", lambda: None)
    done = CliRunner().invoke(restored, [])
    assert done.exit_code == 0, done.output
    assert "sessions 1, one-time links 1, guest links 1, tokens of programs 1." in done.output
    assert guests.find_link(guest) is None
    assert find_token(text) is None
    assert one_time_links.find_link(invitation) is None
    assert not is_signed_in(client)
    ended = Entry.objects.get(action="desk.restored").detail["ended"]
    assert ended == {"sessions": 1, "one_time_links": 1, "guest_links": 1, "tokens": 1}
