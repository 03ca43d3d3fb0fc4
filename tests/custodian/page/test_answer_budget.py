"""However a browser that was let in calls, the page holds a stated number of bytes, and answers other browsers."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agent.custodian.page import app
from agent.custodian.page.answer_budget import ROOM_BYTES, AnswerBudget, answer_bytes
from agent.custodian.page.app import COOKIE, FRAME_TYPE
from agent.errors import StorageError
from agent.wire.control import Frame, write_frame
from tests.custodian.page.door import Door, a_door

MIB = 1 << 20
LARGE_BYTES = 5 * MIB - 1000


def test_one_session_takes_half_of_the_room_and_waits_for_more() -> None:
    async def story() -> None:
        budget = AnswerBudget(8 * MIB, patience_s=0.05)
        async with budget.reserve("a", 2 * MIB), budget.reserve("a", 2 * MIB):
            with pytest.raises(StorageError):
                async with budget.reserve("a", 1):
                    pass
            async with budget.reserve("b", 2 * MIB), budget.reserve("b", 2 * MIB):
                assert budget.held_bytes == 8 * MIB, "the last of the room, to a session that holds some"
                with pytest.raises(StorageError):
                    async with budget.reserve("c", 1):
                        pass
        assert budget.held_bytes == 0

    asyncio.run(story())


def test_what_is_larger_than_the_room_goes_alone() -> None:
    async def story() -> None:
        budget = AnswerBudget(8 * MIB, patience_s=0.05)
        async with budget.reserve("a", 20 * MIB):
            with pytest.raises(StorageError):
                async with budget.reserve("b", 1):
                    pass
        async with budget.reserve("b", 1):
            with pytest.raises(StorageError):
                async with budget.reserve("a", 20 * MIB):
                    pass

    asyncio.run(story())


def test_who_waits_goes_on_when_an_answer_has_turned_out_smaller_or_has_left() -> None:
    async def story() -> None:
        budget = AnswerBudget(8 * MIB, patience_s=60)

        async def later() -> str:
            async with budget.reserve("a", 3 * MIB):
                return "in"

        async with budget.reserve("a", 4 * MIB) as first:
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

        async def _change(self, session: str, by_bytes: int) -> None:
            await super()._change(session, by_bytes)
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
