"""Signing in: by passkey and by password, sessions, limits on attempts, and forged requests."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client, override_settings
from django.utils import timezone

from desk.custody.models import Entry
from desk.people import confirmations, members, one_time_links, session_ends, sign_in_log
from desk.people.models import GuardedChange, Membership, Person
from desk.people.roles import Role
from desk.people.sign_in_log import record_for_all
from tests.desk.agencies import PASSWORD, Agency, browser
from tests.desk.soft_passkeys import SoftPasskey

JSON = {"Accept": "application/json", "X-Requested-With": "XMLHttpRequest"}


def sign_in(client: Client, person: Person, password: str = PASSWORD) -> Any:
    return client.post("/accounts/login/", {"login": person.email, "password": password})


def add_passkey(client: Client, passkey: SoftPasskey) -> Any:
    page = client.get("/accounts/passkeys/add/")
    credential = passkey.create(page.context["js_data"]["creation_options"])
    return client.post("/accounts/passkeys/add/", {"name": "phone", "credential": credential})


def use_passkey(client: Client, passkey: SoftPasskey) -> Any:
    options = client.get("/accounts/passkeys/login/", headers=JSON).json()["request_options"]
    return client.post("/accounts/passkeys/login/", {"credential": passkey.get(options)})


def is_signed_in(client: Client) -> bool:
    return client.get("/").status_code == 200


def test_a_colleague_comes_by_a_link_with_a_passkey_and_signs_in_with_it(agency: Agency) -> None:
    page = agency.client(Role.ADMIN).post("/people", {"email": "Sam@rijnstad.example", "roles": ["viewer"]})
    client, passkey = browser(), SoftPasskey()
    path = page.context["link"].removeprefix("https://localhost")
    answer = client.post(path, {"name": "Sam", "email": "ignored@example.org", "way": "passkey"})
    assert answer["Location"] == "/accounts/passkeys/add/"
    assert add_passkey(client, passkey).status_code == 302
    sam = Person.objects.get(email="sam@rijnstad.example")
    assert list(Membership.objects.filter(person=sam).values_list("role", flat=True)) == ["viewer"]
    assert not sam.has_usable_password()
    again = browser()
    assert use_passkey(again, passkey).status_code == 302
    assert is_signed_in(again)


def test_a_passkey_of_another_site_or_without_its_user_does_not_sign_in(agency: Agency) -> None:
    client, passkey = browser(), SoftPasskey()
    sign_in(client, agency.people[Role.ASKER])
    add_passkey(client, passkey)
    passkey.origin = "https://localhost.evil.example"
    assert not is_signed_in_by(passkey)
    passkey.origin = "https://localhost"
    passkey.verifies_user = False
    assert not is_signed_in_by(passkey)
    passkey.verifies_user = True
    assert is_signed_in_by(passkey)


def is_signed_in_by(passkey: SoftPasskey) -> bool:
    client = browser()
    use_passkey(client, passkey)
    return is_signed_in(client)


def test_an_answer_to_a_passkey_challenge_works_once(agency: Agency) -> None:
    client, passkey = browser(), SoftPasskey()
    sign_in(client, agency.people[Role.ASKER])
    add_passkey(client, passkey)
    thief = browser()
    options = browser().get("/accounts/passkeys/login/", headers=JSON).json()["request_options"]
    thief.post("/accounts/passkeys/login/", {"credential": passkey.get(options)})
    assert not is_signed_in(thief)


def test_with_a_passkey_the_password_alone_is_not_enough(agency: Agency) -> None:
    client, passkey, person = browser(), SoftPasskey(), agency.people[Role.ASKER]
    sign_in(client, person)
    add_passkey(client, passkey)
    second = browser()
    assert sign_in(second, person)["Location"] == "/accounts/second-factor/"
    assert not is_signed_in(second)
    page = second.get("/accounts/second-factor/")
    credential = passkey.get(page.context["js_data"]["request_options"])
    second.post("/accounts/second-factor/", {"credential": credential})
    assert is_signed_in(second)


def test_a_recovered_person_loses_every_earlier_passkey_password_and_session(agency: Agency) -> None:
    person, old, passkey = agency.people[Role.VIEWER], browser(), SoftPasskey()
    sign_in(old, person)
    add_passkey(old, passkey)
    Session.objects.exclude(session_key="")  # the old session stays in the table; the person's stamp ends it
    page = agency.client(Role.ADMIN).post(f"/people/{person.pk}/recover")
    new = browser()
    new.post(
        page.context["link"].removeprefix("https://localhost"), {"way": "password", "password": "a new long secret"}
    )
    assert is_signed_in(new)
    assert not is_signed_in(old)
    assert not is_signed_in_by(passkey)
    third = browser()
    assert sign_in(third, person).status_code == 200
    assert not is_signed_in(third)
    entries = Entry.objects.filter(object=person.email).values_list("action", flat=True)
    assert {"person.recovery-link", "person.came-by-recovery"} <= set(entries)


def test_a_recovery_link_ends_when_its_person_joins_another_organisation(agency: Agency, other_agency: Agency) -> None:
    """Otherwise the admin who made it would act as the person in the other organisation."""
    person = agency.people[Role.ASKER]
    page = agency.client(Role.ADMIN).post(f"/people/{person.pk}/recover")
    address = page.context["link"].removeprefix("https://localhost")
    assert browser().get(address).status_code == 200
    joined = other_agency.client(Role.ADMIN).post("/people", {"email": person.email, "roles": ["evidence-officer"]})
    client = browser()
    sign_in(client, person)
    assert client.post(joined.context["link"].removeprefix("https://localhost")).status_code == 302
    thief = browser()
    assert thief.get(address).status_code == 404
    assert thief.post(address, {"way": "password", "password": "a new long secret"}).status_code == 404
    assert not is_signed_in(thief)
    sign_in(thief, person)
    assert is_signed_in(thief), "the person's password still works"


def test_the_links_of_an_admin_end_with_the_role(agency: Agency) -> None:
    second = agency.people[Role.VIEWER]
    Membership.objects.create(person=second, organisation=agency.organisation, role="admin")
    invited = {"email": "second.self@example.org", "roles": ["admin"]}
    page = agency.client(Role.VIEWER).post("/people", invited)
    address = page.context["link"].removeprefix("https://localhost")
    members.set_roles(agency.organisation, agency.people[Role.ADMIN], second, ["viewer"])
    assert browser().get(address).status_code == 404


def test_an_admin_does_not_recover_a_person_of_two_organisations(agency: Agency, other_agency: Agency) -> None:
    person = agency.people[Role.SUPERVISOR]
    Membership.objects.create(person=person, organisation=other_agency.organisation, role="viewer")
    answer = agency.client(Role.ADMIN).post(f"/people/{person.pk}/recover", follow=True)
    assert "doorward-desk link" in answer.content.decode()
    assert "link" not in answer.context or not answer.context["link"]


def test_the_last_admin_stays(agency: Agency) -> None:
    admin = agency.people[Role.ADMIN]
    client = agency.client(Role.ADMIN)
    assert "needs an admin" in client.post(f"/people/{admin.pk}", {"roles": ["viewer"]}).content.decode()
    client.post(f"/people/{admin.pk}/remove")
    assert Membership.objects.filter(person=admin, role="admin").exists()
    members.set_roles(agency.organisation, admin, agency.people[Role.VIEWER], ["admin"])
    client.post(f"/people/{admin.pk}/remove")
    assert Membership.objects.filter(person=admin, role="admin").exists(), "the other one is not confirmed yet"
    change = GuardedChange.objects.get(state="waits")
    confirmations.confirm(change, agency.people[Role.SUPERVISOR], confirmations.code_of(change))
    client.post(f"/people/{admin.pk}/remove")
    assert not Membership.objects.filter(person=admin).exists()
    assert client.get("/people").status_code == 302


def test_signing_in_gives_the_session_a_new_key(agency: Agency) -> None:
    client = browser()
    client.get("/accounts/login/")
    session = client.session
    session["planted"] = "by an attacker"
    session.save()
    client.cookies["__Host-desk"] = session.session_key or ""
    sign_in(client, agency.people[Role.ASKER])
    assert is_signed_in(client)
    assert client.session.session_key != session.session_key
    assert not Session.objects.filter(session_key=session.session_key).exists()


def test_a_session_ends_after_its_idle_time_and_after_its_whole_time(
    agency: Agency, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    client = browser()
    sign_in(client, agency.people[Role.ASKER])
    for minutes in range(0, 12 * 60, 25):
        monkeypatch.setattr(time, "time", lambda at=now + minutes * 60: at)
        assert is_signed_in(client), minutes
    monkeypatch.setattr(time, "time", lambda: now + 12 * 3600 + 60)
    assert not is_signed_in(client)
    idle = browser()
    sign_in(idle, agency.people[Role.ASKER])
    monkeypatch.setattr(time, "time", lambda: now + 12 * 3600 + 60 + 31 * 60)
    assert not is_signed_in(idle)


def test_a_page_that_asks_by_a_timer_keeps_no_session_alive(agency: Agency, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    client = browser()
    sign_in(client, agency.people[Role.ASKER])
    for minutes, status in ((10, 404), (20, 404), (29, 404), (31, 302)):
        monkeypatch.setattr(time, "time", lambda at=now + minutes * 60: at)
        assert client.get("/requests/1/state").status_code == status, minutes


def test_a_stranger_s_session_ends_within_minutes_and_leaves_no_row(agency: Agency) -> None:
    """A program that asks for challenges leaves a row each time."""
    for _ in range(3):
        assert browser().get("/accounts/passkeys/login/", headers=JSON).status_code == 200
    now = timezone.now()
    rows = Session.objects.values_list("expire_date", flat=True)
    assert len(rows) == 3
    assert max(rows) <= now + timedelta(seconds=session_ends.STRANGER_S + 1)
    assert session_ends.forget_sessions(now) == 0
    assert session_ends.forget_sessions(now + timedelta(minutes=11)) == 3


def test_a_session_that_began_with_a_challenge_lasts_as_long_as_any_other(agency: Agency) -> None:
    client, passkey, person = browser(), SoftPasskey(), agency.people[Role.ASKER]
    sign_in(client, person)
    add_passkey(client, passkey)
    fresh = browser()
    use_passkey(fresh, passkey)
    assert is_signed_in(fresh)
    session_ends.forget_sessions(timezone.now() + timedelta(hours=11, minutes=50))
    assert is_signed_in(fresh)
    session_ends.forget_sessions(timezone.now() + timedelta(hours=12, minutes=10))
    assert not is_signed_in(fresh)


def test_signing_out_everywhere_ends_the_other_browser_s_session(agency: Agency) -> None:
    first, second = browser(), browser()
    for client in (first, second):
        sign_in(client, agency.people[Role.ASKER])
    time.sleep(1.1)  # sessions are dated in whole seconds
    assert first.post("/account/sign-out-everywhere").status_code == 302
    assert not is_signed_in(first)
    assert not is_signed_in(second)
    sign_in(first, agency.people[Role.ASKER])
    assert is_signed_in(first)


def test_a_new_password_ends_the_other_browser_s_session(agency: Agency) -> None:
    first, second = browser(), browser()
    for client in (first, second):
        sign_in(client, agency.people[Role.ASKER])
    words = {"oldpassword": PASSWORD, "password1": "another long secret", "password2": "another long secret"}
    assert first.post("/accounts/password/", words).status_code == 302
    assert is_signed_in(first)
    assert not is_signed_in(second)


def test_each_sign_in_is_in_the_log_of_each_organisation_of_the_person(agency: Agency, other_agency: Agency) -> None:
    person, passkey = agency.people[Role.ASKER], SoftPasskey()
    Membership.objects.create(person=person, organisation=other_agency.organisation, role=Role.VIEWER)
    client = browser()
    sign_in(client, person)
    add_passkey(client, passkey)
    use_passkey(browser(), passkey)
    entries = Entry.objects.filter(action="person.signed-in", object=person.email)
    for organisation in (agency.organisation, other_agency.organisation):
        assert entries.filter(organisation=organisation).count() == 2


def test_guessing_a_password_is_stopped_and_the_log_tells_of_it(agency: Agency) -> None:
    person = agency.people[Role.ASKER]
    guesses = [browser(REMOTE_ADDR=f"192.0.2.{number}") for number in range(8)]
    statuses = [sign_in(client, person, f"guess {number}").status_code for number, client in enumerate(guesses)]
    assert statuses[0] == 200
    last = browser(REMOTE_ADDR="192.0.2.99")
    assert b"Too many failed login attempts" in sign_in(last, person).content  # the right password, too
    assert not is_signed_in(last)
    failed = Entry.objects.filter(action="person.sign-in-failed", object=person.email).count()
    assert 5 <= failed <= 6
    sign_in(last, agency.people[Role.VIEWER])  # others are not shut out
    assert is_signed_in(last)


def test_one_address_cannot_try_many_accounts(agency: Agency) -> None:
    statuses = [
        browser().post("/accounts/login/", {"login": f"a{number}@example.org", "password": "x" * 12}).content
        for number in range(12)
    ]
    assert b"Too many failed login attempts" in statuses[-1]


def test_a_failed_sign_in_takes_the_same_time_for_a_known_and_an_unknown_address(
    agency: Agency, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry in the custody log is written for a known address alone."""
    now_s = [0.0]

    def pass_s(seconds: float) -> None:
        now_s[0] += seconds

    def write_slowly(*values: Any, **named: Any) -> None:
        pass_s(0.04)
        record_for_all(*values, **named)

    monkeypatch.setattr(sign_in_log, "time", SimpleNamespace(monotonic=lambda: now_s[0], sleep=pass_s))
    monkeypatch.setattr(sign_in_log, "record_for_all", write_slowly)
    for email in (agency.people[Role.ASKER].email, "stranger@example.org"):
        now_s[0] = 0.0
        with override_settings(FAILED_SIGN_IN_S=0.25):
            browser().post("/accounts/login/", {"login": email, "password": "wrong wrong wrong"})
        assert now_s[0] == pytest.approx(0.25)
    assert Entry.objects.filter(action="person.sign-in-failed").count() == 1


def test_a_known_and_an_unknown_address_get_the_same_answer(agency: Agency) -> None:
    texts = []
    for email in (agency.people[Role.ASKER].email, "stranger@example.org"):
        answer = browser().post("/accounts/login/", {"login": email, "password": "wrong wrong wrong"})
        texts.append(answer.context["form"].errors.as_text())
    assert texts[0] == texts[1]


@pytest.mark.parametrize("path", ["/people", "/account", "/account/sign-out-everywhere", "/accounts/login/"])
def test_a_post_without_the_token_is_refused(agency: Agency, path: str) -> None:
    client = browser(enforce_csrf_checks=True)
    client.force_login(agency.people[Role.ADMIN], backend="allauth.account.auth_backends.AuthenticationBackend")
    assert client.post(path, {"email": "x@example.org", "roles": ["admin"]}).status_code == 403


def test_headers_and_cookies_are_strict(agency: Agency) -> None:
    client = browser()
    answer = sign_in(client, agency.people[Role.ADMIN])
    cookie = client.cookies["__Host-desk"]
    assert (cookie["secure"], cookie["httponly"], cookie["path"], cookie["domain"]) == (True, True, "/", "")
    assert cookie["samesite"] == "Lax"
    answer = client.get("/people")
    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Cache-Control"] == "no-store"
    assert answer["Referrer-Policy"] == "same-origin"


def test_a_page_for_another_host_is_refused(agency: Agency) -> None:
    assert browser().get("/accounts/login/", headers={"host": "evil.example"}).status_code == 400


def test_the_pages_that_allauth_has_and_the_desk_does_not_are_absent(data: Path) -> None:
    for path in (
        "/accounts/signup/",
        "/accounts/password/reset/",
        "/accounts/email/",
        "/accounts/absent/account_signup/",
    ):
        assert browser().get(path).status_code == 404


def test_sign_in_does_not_lead_to_another_site(agency: Agency) -> None:
    person = agency.people[Role.ASKER]
    words = {"login": person.email, "password": PASSWORD, "next": "https://evil.example/"}
    assert browser().post("/accounts/login/", words)["Location"] == "/"


def test_an_expired_invitation_is_not_listed(agency: Agency) -> None:
    client = agency.client(Role.ADMIN)
    client.post("/people", {"email": "late@rijnstad.example", "roles": ["viewer"]})
    (invitation,) = client.get("/people").context["invitations"]
    invitation.expires_at = timezone.now() - timedelta(seconds=1)
    invitation.save()
    assert not client.get("/people").context["invitations"]
    assert one_time_links.find_link("no such token") is None
