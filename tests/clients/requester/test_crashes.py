"""The requester is killed at every durable step: nothing signed or acknowledged is lost, and nothing is there twice.

A step is a flush, a renaming or a transaction of the index. Each test counts the steps of an undisturbed run, then dies
at each of them and starts again.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.clients.requester import messages
from agent.clients.requester.answer_index import AnswerState
from agent.clients.requester.deletion import delete_answers
from agent.clients.requester.folder_index import FolderIndex
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.publisher import is_published
from agent.clients.requester.sealed_parts import FolderParts, SealedParts
from agent.clients.requester.verification import examine
from agent.core.transfer import TransferOutcome
from agent.wire.disclosures import PartKind
from tests.clients.requester.conftest import NOW_S, question
from tests.clients.requester.doors import Door, TestClock
from tests.clients.requester.house import House
from tests.clients.requester.test_message_index import bus, send_all
from tests.clients.requester.test_receiving_service import LIMITS, Desk, broker, clock, play
from tests.clients.requester.test_verification import lay_down
from tests.fake_bus import FakeBroker, FakeBus
from tests.lengths import LONG

__all__ = ["broker", "bus", "clock"]


class KilledError(BaseException):
    """The process ends here."""


class Steps:
    """Counts durable steps, and dies at one of them, before or after it is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken = 0
        self._dies_at: float = float("inf")
        self._after = False
        for owner, name in ((os, "fsync"), (Path, "rename"), (Path, "replace"), (FolderIndex, "write")):
            monkeypatch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*values: Any, **named: Any) -> Any:
            self.taken += 1
            dies = self.taken == self._dies_at
            if dies and not self._after:
                raise KilledError
            done = act(*values, **named)
            if dies:
                raise KilledError
            return done

        return counted

    @contextmanager
    def dying_at(self, step: int, *, after: bool) -> Iterator[None]:
        self.taken, self._dies_at, self._after = 0, step, after
        try:
            yield
        finally:
            self._dies_at = float("inf")

    def of(self, act: Callable[[], object]) -> int:
        self.taken = 0
        act()
        return self.taken


def ends(act: Callable[[], object]) -> bool:
    """Returns True if the process was killed."""
    try:
        act()
    except KilledError:
        return True
    return False


def deaths(steps: int) -> Iterator[tuple[int, bool]]:
    return itertools.product(range(1, steps + 1), (False, True))


def require_same_as_rebuilt(requester: Requester, parts: SealedParts | None = None) -> None:
    """The index says what the folder says, apart from rows of messages that were never stored."""
    again = Requester.open(requester.folder, parts=parts)
    again.index._path = requester.folder / "made again"
    assert again.request_ids() == requester.request_ids()
    stored = set(requester.request_ids())
    assert set(again.register.unsent()) <= set(requester.register.unsent())
    assert {name for name in requester.register.unsent() if name in stored} - set(again.register.unsent()) == {
        name for name in requester.register.unsent() if name in stored and is_published(requester, name)
    }
    held = {(each.disclosure, each.state) for each in again.answers.changed_since(0)}
    listed = {(each.disclosure, each.state) for each in requester.answers.changed_since(0)}
    assert held == {each for each in listed if each[1] is not AnswerState.DELETED}


def test_a_request_that_is_signed_is_sent_and_one_that_is_not_is_not_there(
    requester: Requester, bus: FakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(monkeypatch)
    messages.make_request(requester, question(case="first"), now_s=NOW_S)
    count = steps.of(lambda: messages.make_request(requester, question(case="0"), now_s=NOW_S))
    numbers = []
    for step, after in deaths(count):
        before = set(requester.request_ids())
        with steps.dying_at(step, after=after), pytest.raises(KilledError):
            messages.make_request(requester, question(case=f"{step} {after}"), now_s=NOW_S)
        again = Requester.open(requester.folder)
        (new,) = set(again.request_ids()) - before or {""}
        assert [each.request.id for each in again.sent_requests_in_case(f"{step} {after}")] == ([new] if new else [])
        numbers += [again.sent_request(new).request.seq] if new else []
        send_all(again, bus)
        assert not new or is_published(again, new)
        assert not new or again.reply_identity(new) is not None
    assert len(set(numbers)) == len(numbers)
    require_same_as_rebuilt(requester)
    bus.stop()


def test_a_deletion_is_true_when_it_is_stated_and_can_be_repeated(
    requester: Requester, house: House, bus: FakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answered(case: str) -> SentRequest:
        asked = requester.sent_request(messages.make_request(requester, question(case=case), now_s=NOW_S).id)
        lay_down(requester, asked, house.disclose(asked))
        return asked

    steps = Steps(monkeypatch)
    first = answered("first")
    count = steps.of(lambda: delete_answers(requester, first.request.id, NOW_S))
    for step, after in deaths(count):
        asked = answered(f"{step} {after}")
        with steps.dying_at(step, after=after), pytest.raises(KilledError):
            delete_answers(requester, asked.request.id, NOW_S)
        again = Requester.open(requester.folder)
        if again.sent_request(asked.request.id).deleted:
            assert again.answers.to_request(asked.request.id) == []
            assert again.reply_identity(asked.request.id) is None
        delete_answers(again, asked.request.id, NOW_S)
        assert again.sent_request(asked.request.id).deleted
    left = {path.name for path in (requester.folder / "disclosures").iterdir()}
    assert left == set()
    require_same_as_rebuilt(requester)
    bus.stop()


@pytest.mark.parametrize(
    ("place", "every"),
    [
        ("in the folder", 3),
        pytest.param("in the folder", 1, marks=LONG),
        pytest.param("in another store", 1, marks=LONG),
    ],
)
def test_an_answer_is_received_once_whenever_its_receiver_is_killed(
    requester: Requester,
    asked: SentRequest,
    house: House,
    broker: FakeBroker,
    clock: TestClock,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    every: int,
    tmp_path: Path,
) -> None:
    """`every`: dies at each such step."""
    parts = FolderParts(tmp_path / "store") if place == "in another store" else None
    requester = Requester.open(requester.folder, parts=parts)
    limits = dataclasses.replace(LIMITS, per_device_and_request=1000, share=1.0)
    pictures = [each for each in house.stored if each.kind is PartKind.POSTER]
    steps = Steps(monkeypatch)

    def send(desk: Desk, door: Door) -> None:
        play(clock, desk, door)
        assert door.finished is not None
        assert door.finished.outcome is TransferOutcome.DELIVERED

    def begun() -> tuple[Desk, Door]:
        desk = Desk(broker, requester, clock, parts)
        desk.limits = limits
        desk.crash()
        desk.begin()
        return desk, Door(broker, requester, house.disclose(asked, pictures), clock)

    desk, door = begun()
    count = steps.of(lambda: send(desk, door))
    desk.bus.stop()
    step = lives = 0
    for step in range(1, count + 1, every):
        desk, door = begun()
        lives += 1
        with steps.dying_at(step, after=step % 2 == 0):
            killed = ends(functools.partial(send, desk, door))
        acknowledged = [receipt for receipt in door.receipts if receipt.state.value == "complete"]
        if killed:
            desk.crash()
            desk.begin()
            send(desk, door)
        desk.bus.stop()
        door.bus.stop()
        answer = desk.receiver._requester.answers.get(door.disclosure.id)
        assert answer is not None
        assert (answer.state, answer.request) == (AnswerState.COMPLETE, asked.request.id)
        assert not acknowledged or examine(requester, door.disclosure.id).ok
        if not killed:
            break  # the first run took some steps more, for folders that stay
    assert step >= count - 3 - every
    assert len(requester.answers.to_request(asked.request.id)) == lives + 1
    here = requester.folder.glob("disclosures/*/*.age")
    assert parts is None or list(here) == []
    require_same_as_rebuilt(requester, parts)
