"""A sealed signing key: it signs only after a person has unlocked it, and what needs no signature goes on."""

from __future__ import annotations

import pytest

from agent.errors import ConfigurationError
from desk import sealed_keys
from desk.custody.models import Entry
from desk.people import readiness
from desk.people.organisations import folder_of, requester_of
from desk.people.roles import Role
from tests.desk.agencies import Agency

WORDS = "six words that nobody guesses"


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_keys, "_WORK_FACTOR", 10)


def start_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new process has no key in memory."""
    monkeypatch.setattr(sealed_keys, "_unlocked", {})


def test_a_sealed_key_signs_again_only_after_a_person_has_unlocked_it(
    agency: Agency, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, before = folder_of(agency.organisation), requester_of(agency.organisation).key
    admin, officer = agency.client(Role.ADMIN), agency.client(Role.EVIDENCE_OFFICER)
    assert admin.post("/signing-key/seal", {"passphrase": WORDS, "again": WORDS}).status_code == 302
    assert not (folder / "signing.key").exists()
    assert (folder / "signing.key.age").stat().st_mode & 0o077 == 0
    requester = requester_of(agency.organisation)
    assert requester.key == before
    assert before.verifies(requester._signer.sign(b"x"), b"x"), "the desk goes on without a second passphrase"

    start_again(monkeypatch)
    requester = requester_of(agency.organisation)
    assert requester.key == before
    with pytest.raises(ConfigurationError, match="locked"):
        requester._signer.sign(b"x")
    with pytest.raises(ConfigurationError, match="locked"):
        sealed_keys.require_unlocked(folder)
    assert "wait until it is unlocked" in readiness.steps(agency.organisation)[0].words
    assert "Requests, answers and statements" in officer.get("/signing-key").content.decode()
    assert "does not open" in officer.post("/signing-key", {"passphrase": "another phrase!!"}).content.decode()
    assert sealed_keys.is_locked(folder)
    assert officer.post("/signing-key", {"passphrase": WORDS}).status_code == 302
    assert before.verifies(requester._signer.sign(b"x"), b"x")
    actions = [row.action for row in Entry.objects.order_by("number") if row.action.startswith("signing-key")]
    assert actions == ["signing-key.sealed", "signing-key.not-unlocked", "signing-key.unlocked"]
    assert WORDS not in str(list(Entry.objects.values()))


@pytest.mark.parametrize(("first", "second"), [("short", "short"), (WORDS, WORDS + "!")])
def test_a_wrong_new_passphrase_changes_nothing(agency: Agency, first: str, second: str) -> None:
    page = agency.client(Role.ADMIN).post("/signing-key/seal", {"passphrase": first, "again": second})
    assert page.context["seal_form"].errors
    assert (folder_of(agency.organisation) / "signing.key").exists()


def test_only_an_admin_seals_and_a_sealed_key_is_not_sealed_again(agency: Agency) -> None:
    form = {"passphrase": WORDS, "again": WORDS}
    assert agency.client(Role.EVIDENCE_OFFICER).post("/signing-key/seal", form).status_code == 403
    for status in (302, 200):
        assert agency.client(Role.ADMIN).post("/signing-key/seal", form).status_code == status
    assert Entry.objects.filter(action="signing-key.sealed").count() == 1


def test_a_kill_while_the_key_is_sealed_leaves_a_key_that_signs(agency: Agency) -> None:
    folder = folder_of(agency.organisation)
    plain = (folder / "signing.key").read_bytes()
    sealed_keys.seal(folder, WORDS)
    (folder / "signing.key").write_bytes(plain)
    (folder / "signing.key").chmod(0o600)
    assert not sealed_keys.is_sealed(folder)
    assert requester_of(agency.organisation)._signer.sign(b"x")
