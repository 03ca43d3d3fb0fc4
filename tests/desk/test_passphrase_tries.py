"""A passphrase that seals a key is not guessed by trying: five tries in five minutes, and the log tells of it."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import connection

from agent.errors import RequestError
from desk import passphrase_tries, sealed_keys
from desk.custody.models import Entry
from desk.passphrase_tries import forget_tries, take_try
from desk.people.organisations import folder_of, requester_of
from desk.people.roles import Role
from desk.trust import bundles, root_keys
from tests.desk.agencies import Agency
from tests.desk.trust.test_trust import PASSPHRASE, listed

WORDS = "six words that people do not guess"


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_keys, "_WORK_FACTOR", 10)


def later(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    now_ns = time.time_ns()
    monkeypatch.setattr(passphrase_tries.time, "time_ns", lambda: now_ns + seconds * 10**9)


def count(action: str) -> int:
    return Entry.objects.filter(action=action).count()


def test_guessing_the_passphrase_of_the_signing_key_is_stopped(agency: Agency, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed_keys.seal(folder_of(agency.organisation), WORDS)
    monkeypatch.setattr(sealed_keys, "_unlocked", {})
    officer, admin = agency.client(Role.EVIDENCE_OFFICER), agency.client(Role.ADMIN)
    for number in range(5):
        client = officer if number % 2 else admin
        page = client.post("/signing-key", {"passphrase": f"a wrong guess {number}"})
        assert "does not open" in page.content.decode()
    opened = []
    monkeypatch.setattr(sealed_keys, "unlock", lambda *_: opened.append(1))
    for _ in range(3):
        page = admin.post("/signing-key", {"passphrase": WORDS})
        assert "too many wrong passphrases" in page.content.decode()
    assert not opened, "the right one is refused unread"
    assert (count("passphrase.tried"), count("passphrase.limited")) == (5, 1)
    assert count("signing-key.not-unlocked") == 5
    monkeypatch.undo()
    later(monkeypatch, 301)
    assert admin.post("/signing-key", {"passphrase": WORDS}).status_code == 302


def test_guessing_the_passphrase_of_the_root_is_stopped(agency: Agency) -> None:
    root_keys.make_root_key(folder_of(agency.organisation) / "root", PASSPHRASE)
    draft = bundles.propose(agency.organisation, agency.people[Role.ADMIN], listed(requester_of(agency.organisation)))
    client = agency.client(Role.SUPERVISOR)
    for number in range(5):
        client.post(f"/trust/{draft.pk}/sign", {"passphrase": f"a wrong guess {number}"})
    page = client.post(f"/trust/{draft.pk}/sign", {"passphrase": PASSPHRASE}, follow=True).content.decode()
    assert "too many wrong passphrases" in page
    draft.refresh_from_db()
    assert draft.state == "proposed"
    assert count("bundle.not-signed") == 5


def test_the_right_passphrase_begins_the_count_again_and_other_keys_count_apart(agency: Agency) -> None:
    person = agency.people[Role.ADMIN]
    for _ in range(4):
        take_try(agency.organisation, person, "root key")
    forget_tries(agency.organisation, person, "root key")
    for _ in range(5):
        take_try(agency.organisation, person, "root key")
    take_try(agency.organisation, person, "signing key")
    with pytest.raises(RequestError, match="too many"):
        take_try(agency.organisation, person, "root key")


def test_tries_at_once_count_together(agency: Agency) -> None:
    person, allowed = agency.people[Role.ADMIN], []

    def guess() -> None:
        try:
            take_try(agency.organisation, person, "root key")
            allowed.append(1)
        except RequestError:
            pass
        finally:
            connection.close()

    threads = [threading.Thread(target=guess) for _ in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(allowed) == 5
