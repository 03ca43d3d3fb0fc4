"""A statement that another client of the same owner overtook is signed once more, and only at once."""

from __future__ import annotations

from typing import TypeVar

import pytest

from agent.clients.owner import statements as owner_statements
from agent.clients.owner.decisions import opt_out
from agent.errors import NetworkError, OvertakenError, StorageError
from agent.ipc.control_operations import SubmitStatement, VerdictAnswer
from agent.ipc.rpc import Request
from agent.wire import strictjson
from agent.wire.statements import OptOut, Scope, read_statement
from tests.clients.owner.conftest import Home, now

AnswerT = TypeVar("AnswerT")


class Overtaken:
    """The link to a device where the first `times` statements are overtaken, `after_s` after they were begun."""

    def __init__(self, home: Home, times: int, monkeypatch: pytest.MonkeyPatch, after_s: float = 0.0) -> None:
        self._home = home
        self._left = times
        self._after_s = after_s
        self.nonces: list[str] = []
        self._now_s = 1000.0
        monkeypatch.setattr(owner_statements.time, "monotonic", lambda: self._now_s)

    def ask(self, request: Request[AnswerT], *, body: bytes = b"") -> AnswerT:
        return self.fetch(request, body=body)[0]

    def fetch(self, request: Request[AnswerT], *, body: bytes = b"") -> tuple[AnswerT, bytes]:
        if isinstance(request, SubmitStatement):
            payload = read_statement(request.envelope.encode()).payload
            self.nonces.append(strictjson.decode(payload, OptOut).nonce)
            if self._left:
                self._left -= 1
                self._now_s += self._after_s
                raise OvertakenError("A later statement of the same owner arrived first.")
        return self._home.device.fetch(request, body=body)


def test_a_statement_that_was_overtaken_is_signed_once_more_with_another_number(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = Overtaken(home, 1, monkeypatch)
    before = len(home.device.statements)
    opt_out(link, home.keys, clock=now)
    assert len(set(link.nonces)) == len(link.nonces) == 2
    assert len(home.device.statements) == before + 1


class Lossy:
    """The link to a device that goes away after it has taken a statement. `answers`: its verdict still arrives."""

    def __init__(self, home: Home, *, answers: bool) -> None:
        self._home = home
        self._answers = answers
        self._is_away = False

    def ask(self, request: Request[AnswerT], *, body: bytes = b"") -> AnswerT:
        return self.fetch(request, body=body)[0]

    def fetch(self, request: Request[AnswerT], *, body: bytes = b"") -> tuple[AnswerT, bytes]:
        if self._is_away:
            raise NetworkError("The doorbell does not answer.")
        found = self._home.device.fetch(request, body=body)
        self._is_away = isinstance(request, SubmitStatement)
        if self._is_away and not self._answers:
            raise NetworkError("The doorbell does not answer.")
        return found


def test_a_signature_whose_answer_is_lost_may_count_and_the_owner_reads_where_to_look(home: Home) -> None:
    before = len(home.device.statements)
    with pytest.raises(NetworkError, match="does not answer") as lost:
        opt_out(Lossy(home, answers=False), home.keys, clock=now)
    assert "Your signature may have reached the device." in lost.value.remedy
    assert len(home.device.statements) == before + 1


def test_what_the_device_has_taken_counts_although_it_goes_away_or_the_disk_is_full_afterwards(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    opt_out(Lossy(home, answers=True), home.keys, clock=now)

    def full(*_: object) -> None:
        raise StorageError("No space left on device.")

    monkeypatch.setattr(home.keys.memory, "remember", full)
    before = len(home.device.statements)
    opt_out(home.device, home.keys, Scope.KIND, "police", clock=now)
    assert len(home.device.statements) == before + 1


def test_two_seconds_after_it_was_begun_it_is_still_signed_once_more(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = Overtaken(home, 1, monkeypatch, after_s=2.0)
    opt_out(link, home.keys, clock=now)
    assert len(link.nonces) == 2


def test_it_is_not_signed_a_third_time(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    link = Overtaken(home, 2, monkeypatch)
    with pytest.raises(OvertakenError):
        opt_out(link, home.keys, clock=now)
    assert len(link.nonces) == 2


def test_a_refusal_that_comes_late_is_final_because_an_owner_may_have_said_something_else(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = Overtaken(home, 1, monkeypatch, after_s=2.5)
    with pytest.raises(OvertakenError):
        opt_out(link, home.keys, clock=now)
    assert len(link.nonces) == 1


def test_an_answer_that_names_no_disclosure_is_the_sign_of_another_version() -> None:
    assert owner_statements.disclosure_in(VerdictAnswer("approved", "r", "d")) == "d"
    with pytest.raises(NetworkError, match="names no disclosure") as refused:
        owner_statements.disclosure_in(VerdictAnswer("approved", "r"))
    assert refused.value.remedy == "Update the device and this machine to one version."
