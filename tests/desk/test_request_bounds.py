"""A stranger's requests hold few bytes, little time and few threads of the desk."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from desk import asgi, request_bounds, server
from desk.asgi import application
from desk.config import DeskConfig, Web
from desk.request_bounds import BOUNDS, Bounds, HeadLimit, RequestBounds
from desk.service_status import ServiceStatus
from tests.desk.agencies import Agency

ROOT = Path(__file__).resolve().parents[2]
ANALYSIS = ROOT / "docs" / "security" / "analysis.md"
MB = 1 << 20
Sends = Callable[[dict[str, Any]], Awaitable[None]]


class Sender:
    """A client that sends a body in pieces, and counts what was read of it."""

    def __init__(self, pieces: Iterable[bytes], *headers: tuple[bytes, bytes], path: str = "/accounts/login/") -> None:
        self.scope = {
            "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
            "root_path": "", "scheme": "https", "server": ("localhost", 443), "client": ("192.0.2.1", 1),
            "http_version": "1.1", "headers": [(b"host", b"localhost"), *headers],
        }  # fmt: skip
        self._pieces = iter(pieces)
        self.read_bytes = 0
        self.answers: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        piece = next(self._pieces, None)
        if piece is None:
            await asyncio.sleep(3600)
        self.read_bytes += len(piece or b"")
        return {"type": "http.request", "body": piece, "more_body": piece != b""}

    async def send(self, message: dict[str, Any]) -> None:
        self.answers.append(message)

    @property
    def status(self) -> int:
        return int(self.answers[0]["status"])


class Whole(Sender):
    """A client that sends its body at once, and stays."""

    def __init__(self, body: bytes = b"") -> None:
        super().__init__([body])

    async def receive(self) -> dict[str, Any]:
        return {**await super().receive(), "more_body": False}


async def reads(scope: Any, receive: Any, send: Any) -> None:
    """An application that reads the body and answers, as Django does."""
    while (message := await receive()).get("more_body"):
        pass
    if message["type"] == "http.disconnect":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})


def bounded(**changed: Any) -> RequestBounds:
    return RequestBounds(reads, dataclasses.replace(BOUNDS, **changed))


@pytest.mark.parametrize("path", ["/accounts/login/", "/tip-to/rijnstad-police/" + "0" * 32, "/nothing"])
def test_a_body_without_a_length_ends_at_the_bound_on_each_page_of_the_desk(agency: Agency, path: str) -> None:
    """Django would write all of it to the disk first."""
    sender = Sender((b"x" * (MB // 4) if number < 80 else b"" for number in range(81)), path=path)
    asyncio.run(application(sender.scope, sender.receive, sender.send))
    assert sender.status == 413
    assert sender.read_bytes <= BOUNDS.body_bytes + MB
    assert (b"connection", b"close") in sender.answers[0]["headers"]


def test_a_body_with_a_length_over_the_bound_is_not_read_at_all() -> None:
    for length in (b"8388609", b"9" * 400):
        sender = Sender([b"x"], (b"content-length", length))
        asyncio.run(bounded()(sender.scope, sender.receive, sender.send))
        assert (sender.status, sender.read_bytes) == (413, 0)


def test_the_largest_files_of_a_form_pass() -> None:
    sender = Whole(b"x" * (4 * MB))
    asyncio.run(bounded()(sender.scope, sender.receive, sender.send))
    assert sender.status == 200


def test_a_body_that_comes_too_slowly_ends() -> None:
    sender = Sender([b"x"])
    asyncio.run(bounded(body_s=0.02)(sender.scope, sender.receive, sender.send))
    assert sender.status == 408


def test_all_bodies_together_have_a_bound_and_small_ones_always_pass() -> None:
    async def run() -> tuple[list[int], int]:
        server = bounded(large_bytes=3 * MB, small_bytes=1000, body_s=0.2)
        slow = [Sender([b"x" * MB]) for _ in range(4)]
        tasks = [asyncio.create_task(server(each.scope, each.receive, each.send)) for each in slow]
        await asyncio.sleep(0.05)
        small = Whole(b"x" * 1000)
        await server(small.scope, small.receive, small.send)
        await asyncio.gather(*tasks)
        assert small.status == 200
        return sorted(each.status for each in slow), server.large_bytes

    assert asyncio.run(run()) == ([408, 408, 408, 503], 0), "and each gives its bytes back"


def test_pages_work_on_so_many_requests_and_one_more_waits_its_turn() -> None:
    async def run() -> tuple[list[int], list[int], bool]:
        free = asyncio.Event()

        async def works(scope: Any, receive: Any, send: Sends) -> None:
            if (await receive())["type"] == "http.request":
                await free.wait()
                await reads(scope, Whole().receive, send)

        server = RequestBounds(works, dataclasses.replace(BOUNDS, at_once=2, wait_s=0.05))
        first = [Whole() for _ in range(2)]
        tasks = [asyncio.create_task(server(each.scope, each.receive, each.send)) for each in first]
        await asyncio.sleep(0.01)
        late, patient = Whole(), Whole()
        await server(late.scope, late.receive, late.send)
        waits = asyncio.create_task(server(patient.scope, patient.receive, patient.send))
        await asyncio.sleep(0.01)
        free.set()
        await asyncio.gather(*tasks, waits)
        return [each.status for each in first], [late.status, patient.status], server.places.locked()

    assert asyncio.run(run()) == ([200, 200], [503, 200], False)


def test_a_slow_body_takes_no_place_of_those_that_are_whole() -> None:
    async def run() -> int:
        server = bounded(at_once=1, body_s=0.3)
        slow, whole = Sender([b"x"]), Whole()
        task = asyncio.create_task(server(slow.scope, slow.receive, slow.send))
        await asyncio.sleep(0.01)
        await server(whole.scope, whole.receive, whole.send)
        task.cancel()
        return whole.status

    assert asyncio.run(run()) == 200


async def connected(*pieces: bytes, application: Any = reads) -> bytes:
    """The bytes that a client reads that sends these pieces and then waits."""
    config = uvicorn.Config(application, http=HeadLimit, lifespan="off", log_level="critical")
    config.load()
    state, loop = ServerState(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: HeadLimit(config, state, {}), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.02)
        try:
            return await asyncio.wait_for(reader.read(), 5)
        except ConnectionError:
            return b""
        finally:
            writer.close()


async def answers(scope: Any, receive: Any, send: Sends) -> None:
    await asyncio.sleep(0.2)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.mark.parametrize("pieces", [(), (b"GET / HT", b"TP/1.1\r\nHost: x\r\n", b"X-A: b\r\n")], ids=["silent", "slow"])
def test_a_connection_without_a_whole_head_ends(pieces: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_bounds, "HEAD_S", 0.1)
    assert asyncio.run(connected(*pieces)) == b""


def test_an_answer_may_take_longer_than_a_head_and_the_next_head_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_bounds, "HEAD_S", 0.1)
    heard = asyncio.run(connected(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", application=answers))
    assert heard.startswith(b"HTTP/1.1 200 OK\r\n")
    assert heard.endswith(b"ok")


def test_the_analysis_states_these_figures() -> None:
    said = " ".join(ANALYSIS.read_text(encoding="utf-8").split())
    assert BOUNDS.body_s == 120
    assert f"A body has at most {BOUNDS.body_bytes >> 20} MiB and two minutes" in said
    together = f"{BOUNDS.large_bytes >> 20} MiB beyond the first {BOUNDS.small_bytes >> 10} KiB of each"
    assert f"all bodies together have {together}" in said
    assert f"The head of a request has {request_bounds.HEAD_S:.0f} seconds" in said
    assert f"Pages work on {BOUNDS.at_once} requests at once" in said
    unit = (ROOT / "desk" / "systemd" / "doorward-desk.service").read_text(encoding="utf-8")
    assert 2 * BOUNDS.at_once < int(unit.partition("TasksMax=")[2].split()[0])


def test_the_service_uses_both() -> None:
    made = server._settings(DeskConfig(web=Web(tls="proxy")), print, ServiceStatus(""))
    assert made.http is HeadLimit
    assert isinstance(asgi._PAGES, RequestBounds)
    assert asgi._PAGES.bounds == Bounds()
