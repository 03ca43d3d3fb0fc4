"""However a browser that was let in calls, the page holds a stated number of bytes, and answers other browsers."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from agent.custodian.page import app
from agent.custodian.page.app import COOKIE, FRAME_TYPE
from agent.custodian.page.request_guard import ROOM_BYTES, AnswerBudget, answer_bytes
from agent.errors import StorageError
from agent.ipc.control_operations import OPERATIONS
from agent.wire.control import Frame, write_frame
from tests.custodian.page.door import Door, a_door

MIB = 1 << 20
LARGE_BYTES = 5 * MIB - 1000


def test_one_session_takes_half_of_the_room_and_waits_for_more() -> None:
    async def story() -> None:
        budget = AnswerBudget(8 * MIB, patience_s=0.05)
        async with budget.reserve("a", 2 * MIB, owner=True), budget.reserve("a", 2 * MIB, owner=True):
            with pytest.raises(StorageError):
                async with budget.reserve("a", 1, owner=True):
                    pass
            async with budget.reserve("b", 2 * MIB, owner=True), budget.reserve("b", 2 * MIB, owner=True):
                assert budget.held_bytes == 8 * MIB, "the last of the room, to a session that holds some"
                with pytest.raises(StorageError):
                    async with budget.reserve("c", 1, owner=True):
                        pass
        assert budget.held_bytes == 0

    asyncio.run(story())


def test_what_is_larger_than_the_room_goes_alone() -> None:
    async def story() -> None:
        budget = AnswerBudget(8 * MIB, patience_s=0.05)
        async with budget.reserve("a", 20 * MIB, owner=True):
            with pytest.raises(StorageError):
                async with budget.reserve("b", 1, owner=True):
                    pass
        async with budget.reserve("b", 1, owner=True):
            with pytest.raises(StorageError):
                async with budget.reserve("a", 20 * MIB, owner=True):
                    pass

    asyncio.run(story())


def test_who_waits_goes_on_when_an_answer_has_turned_out_smaller_or_has_left() -> None:
    async def story() -> None:
        budget = AnswerBudget(8 * MIB, patience_s=60)

        async def later() -> str:
            async with budget.reserve("a", 3 * MIB, owner=True):
                return "in"

        async with budget.reserve("a", 4 * MIB, owner=True) as first:
            waiting = asyncio.create_task(later())
            await asyncio.sleep(0)
            assert not waiting.done()
            await first.resize(MIB)
            assert await waiting == "in"
        assert budget.held_bytes == 0

    asyncio.run(story())


@pytest.fixture
def budgets(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    made: list[Any] = []

    class Watched(AnswerBudget):
        most_bytes = 0

        def __init__(self) -> None:
            super().__init__(patience_s=60)
            made.append(self)

        async def _change(self, session: str, by_bytes: int, *, owner: bool) -> None:
            await super()._change(session, by_bytes, owner=owner)
            self.most_bytes = max(self.most_bytes, self.held_bytes)

    monkeypatch.setattr(app, "AnswerBudget", Watched)
    return made


@pytest.fixture
def door(budgets: list[Any], tmp_path: Path) -> Iterator[Door]:
    assert budgets == []
    with a_door(tmp_path) as door:
        yield door


def asked_slowly(door: Door, cookie: str, stack: ExitStack) -> None:
    """One connection that asks for live pictures and reads nothing."""
    context = ssl.create_default_context(cadata=door.page.certificates.authority_der)
    context.check_hostname = False
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.connect(("127.0.0.1", door.port))
    line = stack.enter_context(context.wrap_socket(plain))
    body = write_frame(Frame({"after": 0}))
    head = (
        f"POST /api/live HTTP/1.1\r\nhost: {door.host}\r\norigin: https://{door.host}\r\n"
        f"sec-fetch-site: same-origin\r\n"
        f"content-type: {FRAME_TYPE}\r\ncookie: {COOKIE}={cookie}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    line.sendall(head.encode() + body)


def test_a_browser_that_asks_for_much_over_many_connections_and_reads_nothing(
    door: Door, budgets: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 answers of 5 MiB, more than the kernel takes, and an owner at another browser who is answered meanwhile."""
    keys = door.claim()
    slow, other = door.owner(keys), door.owner(keys)
    answer = door.page._operations.answer

    def large(name: str, frame: Frame, caller: Any) -> Frame:
        if name == "live":
            return Frame({"ok": True, "result": {"numbers": [1], "sizes": [LARGE_BYTES]}}, bytes(LARGE_BYTES))
        return answer(name, frame, caller)

    monkeypatch.setattr(door.page._operations, "answer", large)
    (budget,) = budgets
    with ExitStack() as stack:
        for _ in range(40):
            asked_slowly(door, slow, stack)
        deadline = time.monotonic() + 60
        while budget.held_bytes < 3 * LARGE_BYTES:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert door.op("page_now", other).status == 200
        assert budget.held_bytes >= 3 * LARGE_BYTES, "what was not read is still held"
        assert budget.most_bytes <= ROOM_BYTES // 2 + answer_bytes("page_now") + MIB // 10
    deadline = time.monotonic() + 60
    while budget.held_bytes:
        assert time.monotonic() < deadline
        time.sleep(0.01)


# -- to the last byte --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "session", "size", "fits"),
    [
        ({}, "a", 100, True),
        ({"b": 1}, "a", 7, True),
        ({"b": 1}, "a", 8, False),
        ({"a": 2}, "a", 2, True),
        ({"a": 2}, "a", 3, False),
        ({"a": 2, "b": 4}, "a", 2, True),
        ({"a": 2, "b": 5}, "a", 2, False),
        ({"b": 8}, "a", 0, True),
    ],
)
def test_a_call_fits_into_what_is_left_of_the_room_and_of_its_sessions_half(
    held: dict[str, int], session: str, size: int, fits: bool
) -> None:
    budget = AnswerBudget(8)
    budget._held.update(held)
    assert budget._fits(session, size, owner=True) is fits
    assert budget.held_bytes == sum(held.values())


def test_guests_who_hold_all_that_they_can_keep_no_owner_waiting() -> None:
    """For example by messages that they send byte by byte. The largest message of an owner is an approval."""

    async def story() -> None:
        budget = AnswerBudget(16 * MIB, patience_s=0.0)
        async with budget.reserve("guest", 5 * MIB, owner=False), budget.reserve("another", 3 * MIB, owner=False):
            with pytest.raises(StorageError):
                async with budget.reserve("a third", 1, owner=False):
                    pass
            async with budget.reserve("owner", 4 * MIB, owner=True), budget.reserve("owner", 4 * MIB, owner=True):
                assert budget.held_bytes == 16 * MIB
            async with budget.reserve("owner", 40 * MIB, owner=True):
                with pytest.raises(StorageError):
                    async with budget.reserve("another owner", 1, owner=True):
                        pass
        assert (budget.held_bytes, budget._guests_bytes) == (0, 0)

    asyncio.run(story())


def test_a_guest_who_reads_an_answer_that_has_turned_out_large_takes_none_of_the_owners_half() -> None:
    """Otherwise an owner with a live picture on its way could send no approval."""

    async def story() -> None:
        budget = AnswerBudget(16 * MIB, patience_s=0.0)
        async with budget.reserve("guest", 5 * MIB, owner=False) as film:
            await film.resize(30 * MIB)
            async with budget.reserve("owner", 5 * MIB, owner=True), budget.reserve("owner", 3 * MIB, owner=True):
                assert budget.held_bytes == 38 * MIB
                with pytest.raises(StorageError):
                    async with budget.reserve("another owner", 1, owner=True):
                        pass

    asyncio.run(story())


@pytest.mark.parametrize(
    ("held", "guests", "session", "size", "fits"),
    [
        ({}, 0, "a", 100, True),
        ({"a": 5}, 5, "b", 3, True),
        ({"a": 5}, 5, "b", 4, False),
        ({"a": 2}, 2, "a", 3, True),
        ({"a": 2}, 2, "a", 4, False),
        ({"owner": 14}, 0, "a", 2, True),
        ({"owner": 14}, 0, "a", 3, False),
    ],
)
def test_guests_get_half_of_the_room_and_one_of_them_five_eighths_of_that(
    held: dict[str, int], guests: int, session: str, size: int, fits: bool
) -> None:
    budget = AnswerBudget(16)
    budget._held.update(held)
    budget._guests_bytes = guests
    assert budget._fits(session, size, owner=False) is fits


def test_what_a_call_holds_is_its_size_until_it_ends_and_nothing_stays_of_it() -> None:
    async def story() -> None:
        budget = AnswerBudget(8)
        with suppress(ZeroDivisionError):
            async with budget.reserve("a", 3, owner=True) as first, budget.reserve("b", 2, owner=True):
                assert (first.size_bytes, budget._held) == (3, {"a": 3, "b": 2})
                await first.resize(20)
                assert (first.size_bytes, budget._held) == (20, {"a": 20, "b": 2})
                await first.resize(1)
                assert (first.size_bytes, budget._held) == (1, {"a": 1, "b": 2})
                raise ZeroDivisionError
        assert (dict(budget._held), budget.held_bytes) == ({}, 0)

    asyncio.run(story())


def test_a_browser_that_waits_too_long_is_told_to_try_again() -> None:
    assert AnswerBudget()._patience_s == 30.0

    async def story() -> None:
        budget = AnswerBudget(8, patience_s=0.0)
        async with budget.reserve("a", 8, owner=True):
            with pytest.raises(StorageError, match="still sends this browser earlier answers") as refused:
                async with budget.reserve("b", 1, owner=True):
                    pass
            assert refused.value.remedy == "Try again in a minute."
            assert refused.value.__cause__ is None
            assert budget._held == {"a": 8}

    asyncio.run(story())


def test_pictures_and_footage_are_large_answers_and_all_others_are_not() -> None:
    assert AnswerBudget()._room_bytes == 32 << 20
    large = {name for name in OPERATIONS if answer_bytes(name) == 5 << 20}
    assert large == {"live", "segment", "sound", "request"}
    assert {answer_bytes(name) for name in OPERATIONS.keys() - large} == {2 << 20}


def test_everyone_who_waits_is_woken_when_room_is_given_back() -> None:
    async def story() -> None:
        budget = AnswerBudget(8, patience_s=10)
        came: list[str] = []

        async def come(session: str) -> None:
            async with budget.reserve(session, 2, owner=True):
                came.append(session)
                await asyncio.sleep(0)

        async with budget.reserve("a", 8, owner=True):
            waiting = [asyncio.create_task(come(session)) for session in "bcd"]
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        assert sorted(came) == ["b", "c", "d"]

    asyncio.run(story())
