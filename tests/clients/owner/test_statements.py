"""A statement that another client of the same owner overtook is signed once more, and only at once."""

from __future__ import annotations

from typing import TypeVar

import pytest

from agent.clients.owner import statements as owner_statements
from agent.clients.owner.decisions import opt_out
from agent.errors import NetworkError, OvertakenError
from agent.ipc.control_operations import SubmitStatement, VerdictAnswer
from agent.ipc.rpc import Request
from agent.wire import strictjson
from agent.wire.statements import OptOut, read_statement
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
